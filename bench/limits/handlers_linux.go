package limits

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// echoer answers with the request.
type echoer struct{}

func (echoer) serve(c *conn, request []byte) error {
	c.out = append(c.out, request...)
	return nil
}

func (echoer) round() error { return nil }

// errCRC is a batch whose CRC does not fit: the generator and the server do not agree.
var errCRC = errors.New("batch with a wrong CRC")

// check verifies the CRC of a produce request's batch and stamps its offset, which the CRC
// does not cover.
func check(request []byte, offset int64, table *crc32.Table) ([]byte, error) {
	if len(request) < produceHeaderBytes+smallestBatchBytes {
		return nil, &frameError{Bytes: len(request), Limit: maxSizeBytes}
	}
	batch := request[produceHeaderBytes:]
	if crc32.Checksum(batch[batchCoveredAt:], table) != binary.BigEndian.Uint32(batch[batchCRCAt:]) {
		return nil, errCRC
	}
	binary.BigEndian.PutUint64(batch, uint64(offset))
	return batch, nil
}

// appendReply adds the answer to a produce request.
func appendReply(out []byte, offset int64) []byte {
	var reply [produceReplyBytes]byte
	binary.BigEndian.PutUint32(reply[:], produceReplyBytes-4)
	binary.BigEndian.PutUint64(reply[30:], uint64(offset))
	return append(out, reply[:]...)
}

// appender appends each batch to the segment and answers.
type appender struct {
	seg    *segment
	table  *crc32.Table
	answer bool
	offset int64
}

func (a *appender) serve(c *conn, request []byte) error {
	batch, err := check(request, a.offset, a.table)
	if err != nil {
		return err
	}
	a.seg.raw = c.raw
	if err := a.seg.append(batch); err != nil {
		return err
	}
	if a.answer {
		c.out = appendReply(c.out, a.offset)
	}
	a.offset++
	return nil
}

func (a *appender) round() error { return nil }

// lockedAppender is an appender for connections that are served at the same time. The CRC
// is checked outside of the lock.
type lockedAppender struct {
	*appender
	mu sync.Mutex
}

func (a *lockedAppender) serve(c *conn, request []byte) error {
	batch, err := check(request, 0, a.table)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	binary.BigEndian.PutUint64(batch, uint64(a.offset))
	if err := a.seg.append(batch); err != nil {
		return err
	}
	if a.answer {
		c.out = appendReply(c.out, a.offset)
	}
	a.offset++
	return nil
}

// tailBytes is the stretch that Reply walks, small enough to stay in a cache, as the tail of
// a log does that consumers follow.
const tailBytes = 8 << 20

// fetcher answers with a piece of a file, the next one each time.
type fetcher struct {
	kind      string
	fd        int
	mem       []byte
	pread     bool
	pieceSize int
	walkBytes int64
}

func newFetcher(j job) (handler, error) {
	f := &fetcher{kind: j.Kind, pread: strings.HasPrefix(j.Way, byPread), pieceSize: j.SizeBytes, walkBytes: j.FileBytes}
	if j.Kind == Reply {
		f.walkBytes = min(tailBytes, j.FileBytes)
	}
	if int64(f.pieceSize) > f.walkBytes {
		return nil, &SizeError{Kind: j.Kind, SizeBytes: j.SizeBytes, LowestBytes: 1}
	}
	var err error
	if f.fd, err = unix.Open(j.File, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open %s: %w", j.File, err)
	}
	if f.mem, err = unix.Mmap(f.fd, 0, int(j.FileBytes), unix.PROT_READ, unix.MAP_SHARED); err != nil {
		return nil, fmt.Errorf("map %s: %w", j.File, err)
	}
	if err := unix.Madvise(f.mem, unix.MADV_POPULATE_READ); err != nil {
		return nil, fmt.Errorf("populate %s: %w", j.File, err)
	}
	return f, nil
}

func (f *fetcher) serve(c *conn, _ []byte) error {
	at := c.next
	if at+int64(f.pieceSize) > f.walkBytes {
		at = 0
	}
	c.next = at + int64(f.pieceSize)
	var header [fetchHeaderBytes]byte
	binary.BigEndian.PutUint32(header[:], uint32(fetchHeaderBytes-4+f.pieceSize))
	c.out = append(c.out, header[:]...)
	switch {
	case f.kind == Sendfile:
		c.file, c.at, c.left = f.fd, at, f.pieceSize
	case f.kind == Writev:
		c.mem = f.mem[at:c.next]
	case f.pread:
		return f.read(c, at)
	default:
		c.out = append(c.out, f.mem[at:c.next]...)
	}
	return nil
}

// read copies a piece behind the header by pread.
func (f *fetcher) read(c *conn, at int64) error {
	from := len(c.out)
	if cap(c.out)-from < f.pieceSize {
		c.out = append(make([]byte, 0, 2*(from+f.pieceSize)), c.out...)
	}
	c.out = c.out[:from+f.pieceSize]
	for from < len(c.out) {
		n, err := unix.Pread(f.fd, c.out[from:], at)
		if err != nil {
			return err
		}
		if n == 0 {
			return unix.EIO
		}
		from += n
		at += int64(n)
	}
	return nil
}

func (f *fetcher) round() error { return nil }
