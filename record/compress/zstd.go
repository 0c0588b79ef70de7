package compress

import (
	"errors"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdMaxWindowBytes is the window of zstd's highest level, 22.
	zstdMaxWindowBytes = 128 << 20
	// zstdMaxRatio: a run of one byte takes 4 bytes and gives up to 128 KiB.
	zstdMaxRatio = 32 << 10
	// zstdSlackBytes behind the output let the decoder copy in whole words.
	zstdSlackBytes = 32
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

// decompressZstd decodes into the room that there is, and again with more room when that was
// not enough. A frame states the size of its content at will, so the statement is
// believed only as far as the input could fill it.
func decompressZstd(dst, src []byte, maxBytes int) ([]byte, error) {
	if len(src) == 0 {
		return dst, io.ErrUnexpectedEOF
	}
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
	room := min(zstdFirstRoom(src, cap(dst)-start), limit)
	for {
		if cap(dst)-start < room+zstdSlackBytes {
			dst = append(make([]byte, 0, start+room+zstdSlackBytes), dst...)
		}
		out, err := r.DecodeAll(src, dst[start:start:start+room+zstdSlackBytes])
		switch {
		case err == nil && len(out) <= limit:
			return dst[:start+len(out)], nil
		case err == nil:
			return dst, errTooLarge
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return dst, err
		case room >= limit:
			return dst, errTooLarge
		}
		room = min(4*room, limit)
	}
}

// zstdFirstRoom is what the first frame says that it holds, else a few times the input; at
// least the room that there is already.
func zstdFirstRoom(src []byte, have int) int {
	var h zstd.Header
	if h.Decode(src) == nil && h.HasFCS && h.FrameContentSize <= math.MaxInt32 {
		return max(int(h.FrameContentSize), 1)
	}
	return max(4*len(src), firstReadBytes, have-zstdSlackBytes)
}
