// Package workload makes the records of a load: sizes, keys, content and headers by a
// Spec, one at a time for a client library (Next) or as finished record batches (Batches)
// that a generator can send again and again.
//
// Invariants:
//   - The same Spec gives the same records; another Seed gives others of the same kind.
//   - Next copies and allocates nothing: a value is a window of a pool of letters that is
//     filled once. The window walks, so that content comes again after half of PoolBytes at
//     the earliest, and a codec finds in a batch what Compressibility says, and nothing else.
//   - Forks share the pool; each belongs to one goroutine.
//
// bench/drive, bench/raw, bench/perf and bench/e2e draw from it.
package workload

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/millrace/millrace/record"
)

// PoolBytes is the size of the pool that values are cut from, when no record is larger.
const PoolBytes = 4 << 20

// Spec describes records. The zero value is not valid: Sizes, PayloadFile or
// PayloadMonotonic must say what a value is.
type Spec struct {
	// Sizes is the length of the values in bytes: "1024" all the same, "100..2000" uniform
	// with both ends, "exp:200" exponential with that mean, from 1 to 16 times the mean.
	Sizes string

	// PayloadFile is a file of real values, separated by PayloadDelimiter (empty: a line
	// feed); each value is one of them by chance, as kafka-producer-perf-test does it.
	PayloadFile, PayloadDelimiter string

	// PayloadMonotonic makes the values "0", "1", "2"...
	PayloadMonotonic bool

	// Keys: "" none, "seq" a new one each time, "uniform:N" one of N by chance, "zipf:N"
	// one of N with key k (from 0) as likely as 1/(k+1)^1.1. A key is ten decimal digits.
	Keys string

	// Compressibility is the share of a value that is always the same, 0..1: 0 is random
	// letters A-Z as Kafka's tool sends them (which zstd still packs to 60 %), 1 is one letter.
	Compressibility float64

	Headers int // on each record: "h0".., of 16 bytes
	Seed    uint64
}

// Record is one record to send; Key is nil when the Spec has no keys.
type Record struct{ Key, Value []byte }

// Source makes records. It is not safe for concurrent use: each goroutine takes a Fork.
type Source struct {
	spec    Spec
	sizes   sizes
	keys    keys
	pool    []byte   // letters; values are windows of it
	at      int      // where the next window begins
	values  [][]byte // of PayloadFile
	headers []record.Header
	rng     *rand.Rand
	seq     int64
	key     [keyDigits]byte
	number  [20]byte
}

// New returns a Source for s: a *SpecError when s cannot be read, the file's error when
// PayloadFile cannot.
func New(s Spec) (*Source, error) {
	src := &Source{spec: s}
	if err := src.readSizes(); err != nil {
		return nil, err
	}
	var err error
	if src.keys, err = parseKeys(s.Keys); err != nil {
		return nil, err
	}
	if !(s.Compressibility >= 0 && s.Compressibility <= 1) {
		return nil, &SpecError{"compressibility", strconv.FormatFloat(s.Compressibility, 'g', -1, 64), "a share from 0 (random letters) to 1 (one letter)"}
	}
	if s.Headers < 0 || s.Headers > maxHeaders {
		return nil, &SpecError{"headers", strconv.Itoa(s.Headers), fmt.Sprintf("0 to %d", maxHeaders)}
	}
	src.reseed(s.Seed)
	for i := range s.Headers {
		value := make([]byte, 16)
		letters(src.rng, value)
		src.headers = append(src.headers, record.Header{Key: "h" + strconv.Itoa(i), Value: value})
	}
	if s.Sizes != "" {
		src.pool = makePool(src.rng, max(PoolBytes, 2*src.sizes.max), s.Compressibility)
		src.at = src.rng.IntN(len(src.pool) - src.sizes.max)
	}
	return src, nil
}

// maxHeaders bounds Spec.Headers; a record with more is larger than brokers take.
const maxHeaders = 10_000

// readSizes fills in where values come from: exactly one of the three ways.
func (s *Source) readSizes() error {
	ways := 0
	for _, given := range []bool{s.spec.Sizes != "", s.spec.PayloadFile != "", s.spec.PayloadMonotonic} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return &SpecError{"sizes", s.spec.Sizes, "exactly one of record sizes, a payload file, and monotonic payloads"}
	}
	var err error
	switch {
	case s.spec.Sizes != "":
		s.sizes, err = parseSizes(s.spec.Sizes)
	case s.spec.PayloadFile != "":
		s.values, err = readPayloads(s.spec.PayloadFile, s.spec.PayloadDelimiter)
	}
	return err
}

func (s *Source) reseed(seed uint64) {
	s.rng = rand.New(rand.NewPCG(seed, 0x6d696c6c72616365))
	s.keys.reseed(s.rng)
}

// Fork returns a Source of the same Spec for another goroutine: with the same pool, a seed
// that comes from i, and its own sequence (keys of "seq" and monotonic values start at
// firstSeq).
func (s *Source) Fork(i uint64, firstSeq int64) *Source {
	f := *s
	f.seq = firstSeq
	f.reseed(s.spec.Seed + (i+1)*0x9e3779b97f4a7c15)
	if f.pool != nil {
		f.at = f.rng.IntN(len(f.pool) - f.sizes.max)
	}
	return &f
}

// Next returns the next record, which is valid until the call after it; the value's bytes
// must not be changed.
func (s *Source) Next() Record {
	var r Record
	if s.keys.kind != noKeys {
		putKey(&s.key, s.keys.next(s.rng, s.seq))
		r.Key = s.key[:]
	}
	switch {
	case s.values != nil:
		r.Value = s.values[s.rng.IntN(len(s.values))]
	case s.spec.PayloadMonotonic:
		r.Value = strconv.AppendInt(s.number[:0], s.seq, 10)
	default:
		r.Value = s.window(s.sizes.next(s.rng))
	}
	s.seq++
	return r
}

// Headers are those of every record; the caller must not change them.
func (s *Source) Headers() []record.Header { return s.headers }

// MaxValueBytes is the length of the longest value that can come.
func (s *Source) MaxValueBytes() int {
	longest := s.sizes.max
	for _, v := range s.values {
		longest = max(longest, len(v))
	}
	if s.spec.PayloadMonotonic {
		longest = len(s.number)
	}
	return longest
}

// StableValues says whether values stay as they are for good, so that whoever holds on to one
// need not copy it: all but those of PayloadMonotonic do.
func (s *Source) StableValues() bool { return !s.spec.PayloadMonotonic }

// Payloads is how many values PayloadFile has; 0 without one.
func (s *Source) Payloads() int { return len(s.values) }

func (s *Source) window(n int) []byte {
	if s.at+n > len(s.pool) {
		// Once around: begin somewhere else, so that batches do not repeat, but in the half
		// that was used longer ago.
		s.at = s.rng.IntN(max(1, len(s.pool)/2-n))
	}
	v := s.pool[s.at : s.at+n : s.at+n]
	s.at += n
	return v
}

// SpecError is a Spec that cannot be read.
type SpecError struct{ Field, Value, Want string }

func (e *SpecError) Error() string {
	return fmt.Sprintf("workload: %s %q: want %s", e.Field, e.Value, e.Want)
}
