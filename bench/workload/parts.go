package workload

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
)

// maxValueBytes bounds a value: above it no Kafka broker takes a batch.
const maxValueBytes = 1 << 30

// sizes is the distribution of value lengths.
type sizes struct {
	min, max int
	mean     float64 // above 0: exponential, cut at max
}

func parseSizes(text string) (sizes, error) {
	bad := &SpecError{"sizes", text, fmt.Sprintf(`"1024", "100..2000" or "exp:200", up to %d bytes`, maxValueBytes)}
	if mean, ok := strings.CutPrefix(text, "exp:"); ok {
		m, err := strconv.ParseFloat(mean, 64)
		if err != nil || !(m >= 1) || m > maxValueBytes/expCut {
			return sizes{}, bad
		}
		return sizes{max: int(m * expCut), mean: m}, nil
	}
	low, high, span := strings.Cut(text, "..")
	if !span {
		high = low
	}
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || from < 0 || to < from || to > maxValueBytes {
		return sizes{}, bad
	}
	return sizes{min: from, max: to}, nil
}

// expCut bounds an exponential size in means: 1 in 9 million values would be longer.
const expCut = 16

func (s sizes) next(rng *rand.Rand) int {
	switch {
	case s.mean > 0:
		return min(max(int(math.Round(rng.ExpFloat64()*s.mean)), 1), s.max)
	case s.min == s.max:
		return s.min
	}
	return s.min + rng.IntN(s.max-s.min+1)
}

type keyKind int8

const (
	noKeys keyKind = iota
	seqKeys
	uniformKeys
	zipfKeys
)

// keyDigits is the length of a key.
const keyDigits = 10

// maxKeys is how many keys have that many digits.
const maxKeys = 10_000_000_000

// zipfExponent is how fast keys of "zipf" get rarer. Go's generator needs more than 1.
const zipfExponent = 1.1

type keys struct {
	kind keyKind
	n    uint64
	zipf *rand.Zipf
}

func parseKeys(text string) (keys, error) {
	kind, number, _ := strings.Cut(text, ":")
	k := keys{}
	switch kind {
	case "":
		k.kind = noKeys
	case "seq":
		k.kind = seqKeys
	case "uniform":
		k.kind = uniformKeys
	case "zipf":
		k.kind = zipfKeys
	default:
		k.kind = -1
	}
	bad := &SpecError{"keys", text, fmt.Sprintf(`"seq", "uniform:N" or "zipf:N", with N from 1 to %d`, int64(maxKeys))}
	if k.kind == noKeys || k.kind == seqKeys {
		if text != kind {
			return keys{}, bad
		}
		return k, nil
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if k.kind < 0 || err != nil || n < 1 || n > maxKeys {
		return keys{}, bad
	}
	k.n = n
	return k, nil
}

func (k *keys) reseed(rng *rand.Rand) {
	if k.kind == zipfKeys {
		k.zipf = rand.NewZipf(rng, zipfExponent, 1, k.n-1)
	}
}

func (k *keys) next(rng *rand.Rand, seq int64) uint64 {
	switch k.kind {
	case uniformKeys:
		return rng.Uint64N(k.n)
	case zipfKeys:
		return k.zipf.Uint64()
	}
	return uint64(seq) % maxKeys
}

func putKey(dst *[keyDigits]byte, n uint64) {
	for i := keyDigits - 1; i >= 0; i-- {
		dst[i] = '0' + byte(n%10)
		n /= 10
	}
}

// compressBlock is the stretch of which a share is constant: short enough that a value of
// some hundred bytes has its share, long enough that a codec's own bytes do not count.
const compressBlock = 128

func makePool(rng *rand.Rand, n int, compressibility float64) []byte {
	pool := make([]byte, n)
	letters(rng, pool)
	same := int(math.Round(compressibility * compressBlock))
	for at := 0; at < n; at += compressBlock {
		block := pool[at:min(at+compressBlock, n)]
		for i := range block[:min(same, len(block))] {
			block[i] = 'A'
		}
	}
	return pool
}

// letters fills b with A-Z, each as likely.
func letters(rng *rand.Rand, b []byte) {
	for len(b) > 0 {
		// One draw below 26^13 is 13 letters, all as likely; a division is cheaper than a draw.
		x := rng.Uint64N(lettersRange)
		for range min(lettersPerDraw, len(b)) {
			b[0] = 'A' + byte(x%26)
			x /= 26
			b = b[1:]
		}
	}
}

const (
	lettersPerDraw = 13
	lettersRange   = 2481152873203736576 // 26^13
)

// readPayloads reads the values of a file. Kafka's tool splits by a regular expression, of
// which a plain text and an escaped line feed or tab are what people use; empty values at
// the end are left out as there.
func readPayloads(path, delimiter string) ([][]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read payload file: %w", err)
	}
	if delimiter == "" {
		delimiter = "\n"
	}
	delimiter = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "\r").Replace(delimiter)
	values := bytes.Split(data, []byte(delimiter))
	for len(values) > 0 && len(values[len(values)-1]) == 0 {
		values = values[:len(values)-1]
	}
	if len(values) == 0 {
		return nil, &SpecError{"payload file", path, "at least one value that is not empty"}
	}
	return values, nil
}
