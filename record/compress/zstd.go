package compress

import (
	"errors"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdMaxWindowBytes is the window of zstd's highest level, 22.
	zstdMaxWindowBytes = 128 << 20
	// zstdMaxRatio: a run of one byte takes 4 bytes and gives up to 128 KiB.
	zstdMaxRatio = 32 << 10
)

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

var zstdReaders sync.Pool

func getZstdReader() (*zstd.Decoder, error) {
	if r, ok := zstdReaders.Get().(*zstd.Decoder); ok {
		return r, nil
	}
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdMaxWindowBytes),
		zstd.WithDecoderMaxMemory(math.MaxInt32), zstd.WithDecodeAllCapLimit(true))
}

// decompressZstd decodes into the room that there is, and tries again with more when that
// was not enough. A frame states its content's size at will, so the statement is
// believed only as far as the input could fill it.
func decompressZstd(dst, src []byte, maxBytes int) ([]byte, error) {
	r, err := getZstdReader()
	if err != nil {
		return dst, err
	}
	defer zstdReaders.Put(r)
	start := len(dst)
	limit := maxBytes
	if len(src) < maxBytes/zstdMaxRatio {
		limit = len(src) * zstdMaxRatio
	}
	if limit <= cap(dst)-start {
		return zstdInto(dst[:start:start+limit], r, src)
	}
	more := max(4*len(src), firstReadBytes)
	if more <= cap(dst)-start {
		more = cap(dst) - start
	}
	for {
		more = min(more, limit)
		if cap(dst)-start < more {
			dst = append(make([]byte, 0, start+more), dst...)
		}
		out, err := zstdInto(dst[:start:start+more], r, src)
		if more == limit || !errors.Is(err, errTooLarge) {
			return out, err
		}
		more *= 4
	}
}

// zstdInto decodes into the room behind dst.
func zstdInto(dst []byte, r *zstd.Decoder, src []byte) ([]byte, error) {
	room := dst[len(dst):len(dst):cap(dst)]
	out, err := r.DecodeAll(src, room)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return dst, errTooLarge
	}
	if err != nil {
		return dst, err
	}
	return dst[:len(dst)+len(out)], nil
}
