package compress

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
)

// lz4FrameHeader is the one frame header that is written: magic, flags (version 1, blocks
// independent, no checksums, no content size), block size 64 KiB, and the second byte of
// xxHash32 over these two bytes. Kafka's Java reader knows nothing else well.
const lz4FrameHeader = "\x04\x22\x4d\x18\x60\x40\x82"

const (
	lz4BlockBytes  = 64 << 10
	lz4StoredBit   = 1 << 31 // in a block's size: the block is not compressed
	lz4KafkaNormal = 9       // Kafka's default level, which means the fast compressor
)

var (
	lz4Fast = sync.Pool{New: func() any { return new(lz4.Compressor) }}
	lz4High = sync.Pool{New: func() any { return new(lz4.CompressorHC) }}
)

func compressLZ4(dst, src []byte, level int) ([]byte, error) {
	if level == 0 || level == lz4KafkaNormal {
		c := lz4Fast.Get().(*lz4.Compressor)
		defer lz4Fast.Put(c)
		return lz4Frame(dst, src, c.CompressBlock)
	}
	c := lz4High.Get().(*lz4.CompressorHC)
	defer lz4High.Put(c)
	c.Level = lz4Depth(level)
	return lz4Frame(dst, src, c.CompressBlock)
}

// lz4Depth maps Kafka's levels 1 to 17 to the nine search depths that there are.
func lz4Depth(level int) lz4.CompressionLevel {
	depths := [...]lz4.CompressionLevel{lz4.Level1, lz4.Level2, lz4.Level3, lz4.Level4, lz4.Level5, lz4.Level6, lz4.Level7, lz4.Level8, lz4.Level9}
	return depths[min(level, len(depths))-1]
}

func lz4Frame(dst, src []byte, compressBlock func(src, dst []byte) (int, error)) ([]byte, error) {
	dst = append(dst, lz4FrameHeader...)
	for len(src) > 0 {
		block := src[:min(len(src), lz4BlockBytes)]
		src = src[len(block):]
		dst = slices.Grow(dst, 4+lz4.CompressBlockBound(len(block)))
		at := len(dst)
		n, err := compressBlock(block, dst[at+4:cap(dst)])
		if err != nil {
			return dst, err
		}
		if n == 0 || n >= len(block) {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(block))|lz4StoredBit)
			dst = append(dst, block...)
			continue
		}
		dst = dst[:at+4+n]
		binary.LittleEndian.PutUint32(dst[at:], uint32(n))
	}
	return append(dst, 0, 0, 0, 0), nil
}

type lz4Reader struct {
	in bytes.Reader
	r  *lz4.Reader
}

var lz4Readers = sync.Pool{New: func() any {
	r := new(lz4Reader)
	r.r = lz4.NewReader(&r.in)
	return r
}}

func decompressLZ4(dst, src []byte, maxBytes int) ([]byte, error) {
	if len(src) == 0 {
		return dst, io.ErrUnexpectedEOF
	}
	r := lz4Readers.Get().(*lz4Reader)
	defer lz4Readers.Put(r)
	defer r.in.Reset(nil)
	r.in.Reset(src)
	r.r.Reset(&r.in)
	return readAll(dst, r.r, len(src), maxBytes)
}
