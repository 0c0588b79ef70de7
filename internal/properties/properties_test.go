package properties

import (
	"testing"

	magiconair "github.com/magiconair/properties"
)

func TestProperties(t *testing.T) {
	text := "\ufeff# comment\r\n! another\n\n a = 1\n b:2\nc\t3\nd\n e\\ f = g\\=h \nlong = one, \\\n    two\n" +
		"u=\\u00e9\\t|\n\\#k=\\\\\nlast=x\\\n"
	want := []Property{
		{"a", "1", 4}, {"b", "2", 5}, {"c", "3", 6}, {"d", "", 7}, {"e f", "g=h ", 8},
		{"long", "one, two", 9}, {"u", "é\t|", 11}, {"#k", `\`, 12}, {"last", "x", 13},
	}
	got, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("got %d properties, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("property %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
	if _, err := Parse("a=1\nb=\\u12"); err == nil || err.Error() != `line 2: "\\u12" is not \u and four hexadecimal digits` {
		t.Errorf("a broken escape: %v", err)
	}
}

// FuzzProperties compares with a parser that others wrote.
func FuzzProperties(f *testing.F) {
	for _, s := range []string{"a=1\nb = 2\n", "k : v\\\n  w\n", "# c\n! d\n\\u0041=\\t", "x y z", "a==b", "a=b\\\\\nc=d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text)
		for i := range text {
			// Where the two differ on purpose: other white space and control characters, which
			// the other takes for part of a line's end, bytes that are not UTF-8, and \u.
			if c := text[i]; c < ' ' && c != '\n' && c != '\t' || c >= 0x7f || c == '\\' {
				return
			}
		}
		l := magiconair.Loader{Encoding: magiconair.UTF8, DisableExpansion: true}
		other, otherErr := l.LoadBytes([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if otherErr != nil {
			return // it refuses empty keys, which Java takes
		}
		ours := map[string]string{}
		for _, p := range got {
			ours[p.Key] = p.Value
		}
		for key, value := range ours {
			if v, ok := other.Get(key); (!ok || v != value) && key != "" {
				t.Errorf("%q: %q is %q, the other: %q", text, key, value, v)
			}
		}
	})
}
