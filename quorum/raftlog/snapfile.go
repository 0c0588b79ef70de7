package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/vfs"
)

// A snapshot file: a head (magic, its length, what raft must know, its CRC), the state
// machine's bytes, and a tail (magic, how many bytes, CRC of all before it).
const (
	headMagic     = "MRSNAP01"
	headLength    = 8 // where the length of the head stands
	headFixed     = 36
	crcBytes      = 4
	tailMagic     = "MRSNAPEN"
	tailBytes     = 20
	maxHeadBytes  = 1 << 20
	maxServerText = 1 << 12 // of an id or an address
)

// snapshotHead is what is known of a snapshot without reading all of it.
type snapshotHead struct {
	meta  raft.SnapshotMeta // Size is the length of the body
	bytes int64             // length of the head
	sum   uint32            // CRC of the head
	want  uint32            // CRC of head and body, from the tail
}

// appendSnapshotHead encodes a head.
func appendSnapshotHead(dst []byte, n snapshotName, c raft.Configuration, configurationIndex uint64) ([]byte, error) {
	start := len(dst)
	dst = append(dst, headMagic...)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint64(dst, n.index)
	dst = binary.BigEndian.AppendUint64(dst, n.term)
	dst = binary.BigEndian.AppendUint64(dst, configurationIndex)
	dst = binary.AppendUvarint(dst, uint64(len(c.Servers)))
	for _, server := range c.Servers {
		dst = append(dst, byte(server.Suffrage))
		for _, s := range []string{string(server.ID), string(server.Address)} {
			if len(s) > maxServerText {
				return nil, fmt.Errorf("id or address of a server has %d bytes, %d are allowed", len(s), maxServerText)
			}
			dst = binary.AppendUvarint(dst, uint64(len(s)))
			dst = append(dst, s...)
		}
	}
	length := len(dst) - start + crcBytes
	if length > maxHeadBytes {
		return nil, fmt.Errorf("a configuration of %d servers does not fit into a snapshot", len(c.Servers))
	}
	binary.BigEndian.PutUint32(dst[start+headLength:], uint32(length))
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli)), nil
}

// decodeSnapshotHead reads a whole head; b is not longer than it.
func decodeSnapshotHead(b []byte) (snapshotHead, error) {
	var h snapshotHead
	if len(b) < headFixed+crcBytes || string(b[:len(headMagic)]) != headMagic {
		return h, errors.New("no snapshot")
	}
	body := b[:len(b)-crcBytes]
	if got, want := crc32.Checksum(body, castagnoli), binary.BigEndian.Uint32(b[len(body):]); got != want {
		return h, fmt.Errorf("crc of the head is %#x, want %#x", got, want)
	}
	h.bytes = int64(len(b))
	h.sum = crc32.Checksum(b, castagnoli)
	h.meta.Version = 1
	h.meta.Index = binary.BigEndian.Uint64(b[12:])
	h.meta.Term = binary.BigEndian.Uint64(b[20:])
	h.meta.ConfigurationIndex = binary.BigEndian.Uint64(b[28:])
	h.meta.ID = snapshotName{index: h.meta.Index, term: h.meta.Term}.id()
	rest := body[headFixed:]
	count, size := binary.Uvarint(rest)
	if size <= 0 || count > uint64(len(rest)) {
		return h, errors.New("the configuration can not be read")
	}
	rest = rest[size:]
	for range count {
		var s raft.Server
		var id, address string
		ok := len(rest) > 0 && rest[0] <= byte(raft.Staging)
		if ok {
			s.Suffrage = raft.ServerSuffrage(rest[0])
			id, rest, ok = cutString(rest[1:])
		}
		if ok {
			address, rest, ok = cutString(rest)
		}
		if !ok {
			return h, errors.New("the configuration can not be read")
		}
		s.ID, s.Address = raft.ServerID(id), raft.ServerAddress(address)
		h.meta.Configuration.Servers = append(h.meta.Configuration.Servers, s)
	}
	if len(rest) > 0 {
		return h, errors.New("bytes behind the configuration")
	}
	return h, nil
}

func appendSnapshotTail(dst []byte, bodyBytes int64, sum uint32) []byte {
	dst = append(dst, tailMagic...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(bodyBytes))
	return binary.BigEndian.AppendUint32(dst, sum)
}

// readSnapshotHead reads head and tail of a snapshot that is to be n.
func readSnapshotHead(f vfs.File, n snapshotName) (snapshotHead, error) {
	size, err := f.Size()
	if err != nil {
		return snapshotHead{}, err
	}
	corrupt := func(position int64, err error) (snapshotHead, error) {
		return snapshotHead{}, &CorruptError{File: f.Name(), Position: position, Err: err}
	}
	var fixed [headFixed]byte
	if size < headFixed+crcBytes+tailBytes {
		return corrupt(size, io.ErrUnexpectedEOF)
	}
	if err := readAt(f, fixed[:], 0); err != nil {
		return snapshotHead{}, err
	}
	length := int64(binary.BigEndian.Uint32(fixed[headLength:]))
	if string(fixed[:len(headMagic)]) != headMagic || length < headFixed+crcBytes || length > min(maxHeadBytes, size-tailBytes) {
		return corrupt(0, errors.New("it does not begin as a snapshot does"))
	}
	head := make([]byte, length)
	if err := readAt(f, head, 0); err != nil {
		return snapshotHead{}, err
	}
	h, err := decodeSnapshotHead(head)
	if err == nil && (h.meta.Index != n.index || h.meta.Term != n.term) {
		err = fmt.Errorf("it is of entry %d of term %d", h.meta.Index, h.meta.Term)
	}
	if err != nil {
		return corrupt(0, err)
	}
	var tail [tailBytes]byte
	if err := readAt(f, tail[:], size-tailBytes); err != nil {
		return snapshotHead{}, err
	}
	h.meta.Size = size - tailBytes - length
	if string(tail[:len(tailMagic)]) != tailMagic || binary.BigEndian.Uint64(tail[8:]) != uint64(h.meta.Size) {
		return corrupt(size-tailBytes, errors.New("it does not end as a snapshot does"))
	}
	h.want = binary.BigEndian.Uint32(tail[16:])
	return h, nil
}

func readAt(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// snapshotReader reads a body and compares its CRC at the end.
type snapshotReader struct {
	f        vfs.File
	r        *io.SectionReader
	sum      uint32 // of head and what was read
	head     snapshotHead
	left     int64
	onDamage func(error)
}

func newSnapshotReader(f vfs.File, h snapshotHead) *snapshotReader {
	return &snapshotReader{
		f: f, head: h, sum: h.sum, left: h.meta.Size,
		r: io.NewSectionReader(f, h.bytes, h.meta.Size),
	}
}

// Read implements io.Reader. Damage is told with the last bytes, or in their place.
func (r *snapshotReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.sum = crc32.Update(r.sum, castagnoli, b[:n])
	if r.left -= int64(n); r.left > 0 || err != nil && !errors.Is(err, io.EOF) {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	if r.sum != r.head.want {
		bad := &CorruptError{File: r.f.Name(), Position: -1, Err: fmt.Errorf("crc is %#x, want %#x", r.sum, r.head.want)}
		if r.onDamage != nil {
			r.onDamage(bad)
			r.onDamage = nil
		}
		return 0, bad
	}
	return n, err
}

// Close implements io.Closer.
func (r *snapshotReader) Close() error { return r.f.Close() }

// verifySnapshot reads a whole snapshot.
func verifySnapshot(fs vfs.FS, name string, n snapshotName) error {
	f, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	h, err := readSnapshotHead(f, n)
	if err == nil {
		buf := make([]byte, min(h.meta.Size+1, 1<<20))
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{newSnapshotReader(f, h)}, buf)
	}
	return errors.Join(err, f.Close())
}
