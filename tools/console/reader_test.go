package console

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

func TestLineReader(t *testing.T) {
	bytes := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		props, line string
		want        kgo.Record
		err         string
	}{
		{"", "plain", kgo.Record{Value: bytes("plain")}, ""},
		{"parse.key=true", "k\tv\tw", kgo.Record{Key: bytes("k"), Value: bytes("v\tw")}, ""},
		{"parse.key=true", "no separator", kgo.Record{}, "No key separator found on line number 1: 'no separator'"},
		{"parse.key=true ignore.error=true", "no separator", kgo.Record{Value: bytes("no separator")}, ""},
		{"parse.key=true key.separator=::", "k::", kgo.Record{Key: bytes("k"), Value: bytes("")}, ""},
		{"parse.key=true key.separator=: null.marker=N", "N:N", kgo.Record{}, ""},
		{"parse.headers=true", "a:1,b:2\tv", kgo.Record{Value: bytes("v"), Headers: []kgo.RecordHeader{{Key: "a", Value: bytes("1")}, {Key: "b", Value: bytes("2")}}}, ""},
		{"parse.headers=true parse.key=true", "a:1\tk\tv", kgo.Record{Key: bytes("k"), Value: bytes("v"), Headers: []kgo.RecordHeader{{Key: "a", Value: bytes("1")}}}, ""},
		{"parse.headers=true null.marker=N", "a:N\tv", kgo.Record{Value: bytes("v"), Headers: []kgo.RecordHeader{{Key: "a"}}}, ""},
		{"parse.headers=true null.marker=N", "N\tv", kgo.Record{Value: bytes("v")}, ""},
		{"parse.headers=true null.marker=N", "N:x\tv", kgo.Record{}, "Header keys should not be equal to the null marker 'N' as they can't be null"},
		{"parse.headers=true", "a\tv", kgo.Record{}, "No header key separator found in pair 'a' on line number 1"},
		{"parse.headers=true ignore.error=true", "a\tv", kgo.Record{Value: bytes("v"), Headers: []kgo.RecordHeader{{Key: "a"}}}, ""},
		{"parse.headers=true", "v", kgo.Record{}, "No headers delimiter found on line number 1: 'v'"},
	} {
		r, err := newLineReader(strings.NewReader(c.line+"\n"), "", cli.Props{}.AddPairs(strings.Fields(c.props)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.next()
		switch {
		case c.err != "":
			if err == nil || err.Error() != c.err {
				t.Errorf("%s %q: error %v, want %s", c.props, c.line, err, c.err)
			}
		case err != nil || !reflect.DeepEqual(*got, c.want):
			t.Errorf("%s %q: %+v (%v), want %+v", c.props, c.line, got, err, c.want)
		}
	}
}

// The expected texts are those of Java's Double.toString.
func TestJavaFloat(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0.0", 1: "1.0", -2.5: "-2.5", 0.001: "0.001", 0.0001: "1.0E-4", 1e7: "1.0E7", 9999999: "9999999.0", 1.234e-5: "1.234E-5",
		1e21: "1.0E21", math.Inf(1): "Infinity", math.Inf(-1): "-Infinity",
	} {
		if got := javaFloat(f, 64); got != want {
			t.Errorf("%g: %s, want %s", f, got, want)
		}
	}
}
