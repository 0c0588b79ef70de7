package jute

import (
	"encoding/binary"
	"fmt"
	"io"
)

// DefaultMaxBuffer is the largest packet when jute.maxbuffer is not set: 1 MiB less one.
const DefaultMaxBuffer = 0xfffff

// FrameSizeError tells of a packet that is larger than jute.maxbuffer allows, or of a length
// that is none.
type FrameSizeError struct {
	Length int32
	Max    int
}

// Error implements error.
func (e *FrameSizeError) Error() string {
	if e.Length < 0 {
		return fmt.Sprintf("packet length %d is negative: this is not the ZooKeeper protocol", e.Length)
	}
	return fmt.Sprintf("packet of %d bytes is above the limit of %d (jute.maxbuffer)", e.Length, e.Max)
}

// BeginFrame appends the place for a packet's length. EndFrame fills it in.
func BeginFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// EndFrame writes the length of the packet whose BeginFrame was appended at start, and which
// reaches to the end of dst.
func EndFrame(dst []byte, start int) {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
}

// frameStep is how much is taken on the word of a length before bytes come.
const frameStep = 64 << 10

// ReadFrame reads one packet into buf, which grows when it must, and returns its payload. A
// length above maxBuffer is a *FrameSizeError. Memory is taken as the bytes come, so that a
// length alone costs nothing. io.EOF: the peer closed between packets.
func ReadFrame(r io.Reader, buf []byte, maxBuffer int) ([]byte, error) {
	if cap(buf) < 4 {
		buf = make([]byte, 0, 512)
	}
	head := buf[:4]
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	return ReadFrameBody(r, int32(binary.BigEndian.Uint32(head)), buf, maxBuffer)
}

// ReadFrameBody is ReadFrame after the length was read.
func ReadFrameBody(r io.Reader, length int32, buf []byte, maxBuffer int) ([]byte, error) {
	if length < 0 || int(length) > maxBuffer {
		return nil, &FrameSizeError{Length: length, Max: maxBuffer}
	}
	n := int(length)
	buf = buf[:0]
	for len(buf) < n {
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(n, max(frameStep, 2*cap(buf))))
			copy(grown, buf)
			buf = grown
		}
		have := len(buf)
		buf = buf[:min(n, cap(buf))]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return buf, nil
}
