package compress

import (
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdMaxWindowBytes is the window of zstd's highest level, 22.
	zstdMaxWindowBytes = 128 << 20
	// zstdMaxBlockBytes is the most that a compressed block gives.
	zstdMaxBlockBytes = 128 << 10
)

var errZstdClaim = errors.New("claimed content size cannot come from so few blocks")

// zstdWriters has one pool for each of the speeds that the encoder has.
var zstdWriters [5]sync.Pool

func compressZstd(dst, src []byte, level int) ([]byte, error) {
	if level == 0 {
		_, _, level = Levels(Zstd)
	}
	speed := zstd.EncoderLevelFromZstd(level)
	pool := &zstdWriters[speed]
	w, ok := pool.Get().(*zstd.Encoder)
	if !ok {
		var err error
		// The batch has a CRC of its own.
		w, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return dst, err
		}
	}
	dst = w.EncodeAll(src, dst)
	pool.Put(w)
	return dst, nil
}

// zstdReaders decode into as much memory as the output takes, zstdCapped only into what dst has.
var zstdReaders, zstdCapped sync.Pool

func getZstdReader(pool *sync.Pool, capped bool) (*zstd.Decoder, error) {
	if r, ok := pool.Get().(*zstd.Decoder); ok {
		return r, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdMaxWindowBytes), zstd.WithDecodeAllCapLimit(capped))
}

// decompressZstd first adds up what the blocks can give at most. Almost always that is within
// the bound, and decoding needs no other. Else the output gets a buffer of the bound's size,
// which the input is long enough to fill, and decoding ends where the buffer ends.
// The library's own limit (WithDecoderMaxMemory) will not do: it is fixed for a decoder, and
// refuses a small output whose encoder was set up for a large window.
func decompressZstd(dst, src []byte, maxBytes int) ([]byte, error) {
	most, err := zstdMost(src)
	if err != nil {
		return dst, err
	}
	pool, capped := &zstdReaders, most > maxBytes
	if capped {
		pool = &zstdCapped
	}
	r, err := getZstdReader(pool, capped)
	if err != nil {
		return dst, err
	}
	defer pool.Put(r)
	if !capped {
		return r.DecodeAll(src, dst)
	}
	start := len(dst)
	dst = slices.Grow(dst, maxBytes)
	out, err := r.DecodeAll(src, dst[start:start:start+maxBytes])
	if err != nil { // the decoder has several errors for a full buffer
		return dst[:start], errors.Join(errTooLarge, err)
	}
	return dst[:start+len(out)], nil
}

// zstdMost walks the frames and blocks of src by their headers (RFC 8878, section 3.1) and
// returns the most bytes that they can give. A frame that states more than its blocks can give
// is an error.
func zstdMost(src []byte) (most int, err error) {
	if len(src) == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, err
		}
		src = src[h.HeaderSize:]
		if h.Skippable {
			if uint64(h.SkippableSize) > uint64(len(src)) {
				return 0, io.ErrUnexpectedEOF
			}
			src = src[h.SkippableSize:]
			continue
		}
		frame, rest, err := zstdBlocks(src)
		if err != nil {
			return 0, err
		}
		if h.HasFCS && h.FrameContentSize > uint64(frame) {
			return 0, errZstdClaim
		}
		if h.HasCheckSum {
			rest = rest[min(4, len(rest)):] // the decoder looks at it
		}
		most += frame
		src = rest
	}
	return most, nil
}

// zstdBlocks walks the blocks of one frame.
func zstdBlocks(src []byte) (most int, rest []byte, err error) {
	for last := false; !last; {
		if len(src) < 3 {
			return 0, nil, io.ErrUnexpectedEOF
		}
		head := int(src[0]) | int(src[1])<<8 | int(src[2])<<16
		size, takes := head>>3, head>>3
		last = head&1 != 0
		switch head >> 1 & 3 {
		case 0: // stored
			most += size
		case 1: // one byte, repeated
			most += size
			takes = 1
		default:
			most += zstdMaxBlockBytes
		}
		if src = src[3:]; takes > len(src) {
			return 0, nil, io.ErrUnexpectedEOF
		}
		src = src[takes:]
	}
	return most, src, nil
}
