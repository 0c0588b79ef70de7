package zkdata

import (
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"io"
	"slices"

	"github.com/millrace/millrace/quorum/jute"
)

// ErrCorrupt is what a file is that no server wrote so.
var ErrCorrupt = errors.New("corrupt")

// errShort is the end of a file where there should be more.
var errShort = fmt.Errorf("%w: it ends too early", ErrCorrupt)

// stream reads jute from a file that need not fit into memory, and sums up what it read. Its
// first error stays, and everything after it reads as zero.
type stream struct {
	r   io.Reader
	sum hash.Hash32 // nil: nobody asks
	buf [8]byte
	err error
}

func newStream(r io.Reader) *stream { return &stream{r: r, sum: adler32.New()} }

// part is how much is read before more room is made: a length is not believed beyond it.
const part = 64 << 10

func (s *stream) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
	}
}

// damaged makes ErrCorrupt of what the decompressors call so.
func damaged(err error) error {
	var flateErr flate.CorruptInputError
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.As(err, &flateErr) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// fill reads len(b) bytes.
func (s *stream) fill(b []byte) {
	if s.err != nil {
		return
	}
	if _, err := io.ReadFull(s.r, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			s.err = errShort
		} else {
			s.err = damaged(err)
		}
		clear(b)
		return
	}
	if s.sum != nil {
		s.sum.Write(b)
	}
}

func (s *stream) int32() int32 {
	s.fill(s.buf[:4])
	if s.err != nil {
		return 0
	}
	return int32(binary.BigEndian.Uint32(s.buf[:4]))
}

func (s *stream) int64() int64 {
	s.fill(s.buf[:8])
	if s.err != nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(s.buf[:8]))
}

// buffer returns nil for null.
func (s *stream) buffer() []byte {
	n := s.int32()
	if s.err != nil || n == -1 {
		return nil
	}
	if n < 0 {
		s.fail("a length of %d", n)
		return nil
	}
	b := make([]byte, 0, min(int(n), part))
	for len(b) < int(n) && s.err == nil {
		at := len(b)
		b = slices.Grow(b, min(int(n)-at, part))[:min(int(n), at+part)]
		s.fill(b[at:])
	}
	return b
}

func (s *stream) string() string { return string(s.buffer()) }

// count reads how many elements of a list follow; null is none.
func (s *stream) count() int {
	n := s.int32()
	if n < -1 {
		s.fail("a count of %d", n)
	}
	return int(max(n, 0))
}

func (s *stream) acls() (list []jute.ACL) {
	for n := s.count(); n > 0 && s.err == nil; n-- {
		list = append(list, jute.ACL{Perms: s.int32(), ID: jute.ID{Scheme: s.string(), ID: s.string()}})
	}
	return list
}

// seal reads the checksum of all that was read before it, and the slash after it.
func (s *stream) seal() {
	want := s.sum.Sum32()
	have := s.int64()
	slash := s.string()
	if s.err == nil && (have != int64(want) || slash != "/") {
		s.fail("checksum %#x, its bytes have %#x", have, want)
	}
}
