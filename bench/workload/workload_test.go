package workload

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func source(t *testing.T, s Spec) *Source {
	t.Helper()
	src, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// evenly holds counts to equal shares: chi-square, with a bound that chance passes less than
// once in a million runs (normal approximation, 5 standard deviations).
func evenly(t *testing.T, what string, counts []int) {
	t.Helper()
	total := 0
	for _, c := range counts {
		total += c
	}
	want := make([]float64, len(counts))
	for i := range want {
		want[i] = float64(total) / float64(len(counts))
	}
	likely(t, what, counts, want)
}

func likely(t *testing.T, what string, counts []int, want []float64) {
	t.Helper()
	x := 0.0
	for i, c := range counts {
		x += (float64(c) - want[i]) * (float64(c) - want[i]) / want[i]
	}
	free := float64(len(counts) - 1)
	if bound := free + 5*math.Sqrt(2*free) + 10; x > bound {
		t.Errorf("%s: chi-square %.0f above %.0f (%d kinds)", what, x, bound, len(counts))
	}
}

func TestSizes(t *testing.T) {
	seed := testkit.Seed(t)
	t.Run("fixed", func(t *testing.T) {
		for _, n := range []int{0, 1, 1024, PoolBytes + 1} {
			s := source(t, Spec{Sizes: strconv.Itoa(n), Seed: seed})
			for range 100 {
				if v := s.Next().Value; len(v) != n || v == nil {
					t.Fatalf("value of %d bytes (nil: %v), want %d", len(v), v == nil, n)
				}
			}
		}
	})
	t.Run("range", func(t *testing.T) {
		s, counts := source(t, Spec{Sizes: "100..149", Seed: seed}), make([]int, 50)
		for range 100_000 {
			counts[len(s.Next().Value)-100]++
		}
		evenly(t, "sizes 100..149", counts)
	})
	t.Run("exponential", func(t *testing.T) {
		const mean, n = 200, 200_000
		s, sum, above := source(t, Spec{Sizes: "exp:200", Seed: seed}), 0, 0
		for range n {
			size := len(s.Next().Value)
			sum += size
			if size > 2*mean {
				above++
			}
			if size < 1 || size > 16*mean {
				t.Fatalf("a value of %d bytes", size)
			}
		}
		// The deviation of a mean of n is mean/sqrt(n) = 0.45.
		if got := float64(sum) / n; math.Abs(got-mean) > 3 {
			t.Errorf("mean size %.2f, want %d", got, mean)
		}
		if got, want := float64(above)/n, math.Exp(-2); math.Abs(got-want) > 0.006 {
			t.Errorf("share above two means: %.4f, want %.4f", got, want)
		}
	})
}

func TestKeys(t *testing.T) {
	seed := testkit.Seed(t)
	key := func(s *Source) int {
		k := s.Next().Key
		n, err := strconv.Atoi(string(k))
		if err != nil || len(k) != 10 {
			t.Fatalf("key %q, want ten digits", k)
		}
		return n
	}
	if r := source(t, Spec{Sizes: "1"}).Next(); r.Key != nil {
		t.Errorf("key %q without Keys", r.Key)
	}
	seq := source(t, Spec{Sizes: "1", Keys: "seq"})
	for i := range 1000 {
		if got := key(seq); got != i {
			t.Fatalf("key %d of seq is %d", i, got)
		}
	}
	uniform, counts := source(t, Spec{Sizes: "1", Keys: "uniform:100", Seed: seed}), make([]int, 100)
	for range 100_000 {
		counts[key(uniform)]++
	}
	evenly(t, "uniform:100", counts)

	zipf, counts, want := source(t, Spec{Sizes: "1", Keys: "zipf:50", Seed: seed}), make([]int, 50), make([]float64, 50)
	sum := 0.0
	for k := range want {
		want[k] = math.Pow(float64(k+1), -1.1)
		sum += want[k]
	}
	for k := range want {
		want[k] *= 100_000 / sum
	}
	for range 100_000 {
		counts[key(zipf)]++
	}
	likely(t, "zipf:50", counts, want)
	if got := key(source(t, Spec{Sizes: "1", Keys: "uniform:1"})); got != 0 {
		t.Errorf("the only key is %d, want 0", got)
	}
}

func TestLettersAreEven(t *testing.T) {
	s, counts := source(t, Spec{Sizes: "1000", Seed: testkit.Seed(t)}), make([]int, 26)
	pairs := make([]int, 26*26) // also of neighbours: no letter follows from the one before
	for range 500 {
		v := s.Next().Value
		for i, c := range v {
			if c < 'A' || c > 'Z' {
				t.Fatalf("byte %q in a value", c)
			}
			counts[c-'A']++
			if i%2 == 1 {
				pairs[int(v[i-1]-'A')*26+int(c-'A')]++
			}
		}
	}
	evenly(t, "letters", counts)
	evenly(t, "pairs of letters", pairs)
}

func TestCompressibilityIsTheShareOfOneLetter(t *testing.T) {
	seed := testkit.Seed(t)
	for _, c := range []float64{0, 0.25, 0.5, 0.9, 1} {
		for _, size := range []string{"100", "1024", "1..3000"} {
			s, same, total := source(t, Spec{Sizes: size, Compressibility: c, Seed: seed}), 0, 0
			for total < 1_000_000 {
				v := s.Next().Value
				same += bytes.Count(v, []byte("A"))
				total += len(v)
			}
			got, want := float64(same)/float64(total), c+(1-c)/26
			if math.Abs(got-want) > 0.01 || c == 1 && same != total {
				t.Errorf("sizes %s, compressibility %v: %.4f of the bytes are 'A', want %.4f", size, c, got, want)
			}
		}
	}
}

// Content does not come again within half the pool: 16 letters that did would be no chance
// (26^16). Positions are sampled by their content, so that both places are.
func TestContentDoesNotComeAgainSoon(t *testing.T) {
	s, last, at := source(t, Spec{Sizes: "500..3000", Seed: testkit.Seed(t)}), map[string]int{}, 0
	again := 0
	for at < 3*PoolBytes {
		v := s.Next().Value
		for i := 0; i+16 <= len(v); i++ {
			if v[i] != 'Q' || v[i+1]&3 != 0 {
				continue
			}
			text := string(v[i : i+16])
			if before, ok := last[text]; ok {
				again++
				if at+i-before < PoolBytes/2-3000 {
					t.Fatalf("%q came again after %d bytes, pool of %d", text, at+i-before, PoolBytes)
				}
			}
			last[text] = at + i
		}
		at += len(v)
	}
	if again == 0 {
		t.Error("nothing came again in three times the pool: the test does not look")
	}
}

func TestRecordsFollowFromTheSeed(t *testing.T) {
	spec := Spec{Sizes: "10..500", Keys: "zipf:1000", Headers: 2, Seed: testkit.Seed(t)}
	text := func(s *Source) string {
		var b strings.Builder
		for range 200 {
			r := s.Next()
			b.Write(r.Key)
			b.Write(r.Value)
		}
		for _, h := range s.Headers() {
			b.WriteString(h.Key)
			b.Write(h.Value)
		}
		return b.String()
	}
	first := text(source(t, spec))
	if text(source(t, spec)) != first {
		t.Error("the same seed gave other records")
	}
	s := source(t, spec)
	a, b, again := text(s.Fork(1, 0)), text(s.Fork(2, 0)), text(s.Fork(1, 0))
	if a == b || a == first || a != again {
		t.Error("forks are not apart, or not the same each time")
	}
	if text(s) != first {
		t.Error("a fork moved its source")
	}
	spec.Seed++
	if text(source(t, spec)) == first {
		t.Error("another seed gave the same records")
	}
	if f := source(t, Spec{PayloadMonotonic: true}).Fork(3, 1000); string(f.Next().Value) != "1000" || string(f.Next().Value) != "1001" {
		t.Error("a fork does not begin at its number")
	}
}

func TestPayloads(t *testing.T) {
	dir := t.TempDir()
	file := func(content string) string {
		path := filepath.Join(dir, strconv.Itoa(len(content))+".txt")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		content, delimiter string
		want               []string
	}{
		{"one\ntwo\n\nthree\n\n", "", []string{"one", "two", "", "three"}},
		{"one\ntwo\n", `\n`, []string{"one", "two"}},
		{"a|b\nc|d|", "|", []string{"a", "b\nc", "d"}},
		{"x\ty", `\t`, []string{"x", "y"}},
	} {
		s, seen := source(t, Spec{PayloadFile: file(c.content), PayloadDelimiter: c.delimiter, Seed: testkit.Seed(t)}), map[string]int{}
		for range 1000 {
			seen[string(s.Next().Value)]++
		}
		for _, w := range c.want {
			if seen[w] < 1000/len(c.want)/2 {
				t.Errorf("%q by %q: value %q came %d times of 1000", c.content, c.delimiter, w, seen[w])
			}
		}
		if len(seen) != len(c.want) {
			t.Errorf("%q by %q: %d values, want %q", c.content, c.delimiter, len(seen), c.want)
		}
	}
	s := source(t, Spec{PayloadMonotonic: true})
	for i := range 1200 {
		if got := string(s.Next().Value); got != strconv.Itoa(i) {
			t.Fatalf("monotonic value %d is %q", i, got)
		}
	}
	var bad *SpecError
	if _, err := New(Spec{PayloadFile: file("\n\n\n")}); !errors.As(err, &bad) {
		t.Errorf("a file of nothing: %v", err)
	}
	if _, err := New(Spec{PayloadFile: filepath.Join(dir, "absent")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestSpecsThatCannotBe(t *testing.T) {
	for _, s := range []Spec{
		{}, {Sizes: "10", PayloadMonotonic: true}, {Sizes: "-1"}, {Sizes: "ten"}, {Sizes: "5..4"}, {Sizes: "1..2..3"},
		{Sizes: "1..9999999999"}, {Sizes: "exp:"}, {Sizes: "exp:0.5"}, {Sizes: "exp:NaN"}, {Sizes: "exp:1e300"},
		{Sizes: "1", Keys: "some"}, {Sizes: "1", Keys: "seq:5"}, {Sizes: "1", Keys: "uniform"}, {Sizes: "1", Keys: "uniform:0"},
		{Sizes: "1", Keys: "zipf:-3"}, {Sizes: "1", Keys: "zipf:99999999999"}, {Sizes: "1", Keys: ":"},
		{Sizes: "1", Compressibility: 1.1}, {Sizes: "1", Compressibility: math.NaN()}, {Sizes: "1", Headers: -1},
	} {
		var bad *SpecError
		if _, err := New(s); !errors.As(err, &bad) {
			t.Errorf("%+v: %v, want *SpecError", s, err)
		} else if bad.Field == "" || bad.Want == "" {
			t.Errorf("%+v: %q does not say what is wanted", s, err)
		}
	}
}

func TestNextTakesNoMemory(t *testing.T) {
	for _, spec := range []Spec{
		{Sizes: "1024"}, {Sizes: "10..5000", Keys: "zipf:1000", Compressibility: 0.5}, {Sizes: "exp:300", Keys: "uniform:10", Headers: 3},
		{PayloadMonotonic: true, Keys: "seq"},
	} {
		s := source(t, spec)
		if n := testing.AllocsPerRun(2000, func() { s.Next() }); n != 0 {
			t.Errorf("%+v: %v allocations per record, want 0", spec, n)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	s, err := New(Spec{Sizes: "1024", Keys: "uniform:1000"})
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		s.Next()
	}
}
