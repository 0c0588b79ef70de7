package compress

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/golang/snappy"
)

// xerialHeader opens the framing of snappy-java, which Kafka's Java clients, librdkafka and
// others write: magic, then version 1 and lowest compatible version 1 as big-endian int32.
// Blocks follow, each with its compressed length in front as big-endian int32.
const xerialHeader = "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"

const (
	xerialMagicBytes = 8
	// xerialBlockBytes is the uncompressed size of a block, the default of snappy-java.
	xerialBlockBytes = 32 << 10
	// snappyMaxRatio: the densest element, a copy of 3 bytes, gives 64 (21.3 times).
	snappyMaxRatio = 22
)

var (
	errSnappyLength = errors.New("block length does not fit the data")
	errSnappyClaim  = errors.New("claimed length cannot come from so few bytes")
)

func compressSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialHeader...)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlockBytes)]
		src = src[len(block):]
		dst = slices.Grow(dst, 4+snappy.MaxEncodedLen(len(block)))
		at := len(dst)
		room := dst[at+4 : cap(dst)]
		n := len(snappy.Encode(room, block))
		dst = dst[:at+4+n]
		binary.BigEndian.PutUint32(dst[at:], uint32(n))
	}
	return dst
}

// decompressSnappy reads xerial framing and, when the magic is missing, one raw block, as
// several clients write it.
func decompressSnappy(dst, src []byte, maxBytes int) ([]byte, error) {
	if !isXerial(src) {
		return snappyBlock(dst, src, maxBytes)
	}
	start := len(dst)
	var err error
	for len(src) > 0 {
		if isXerial(src) { // first, or streams joined together: snappy-java reads those
			src = src[len(xerialHeader):]
			continue
		}
		if len(src) < 4 {
			return dst[:start], errSnappyLength
		}
		n := binary.BigEndian.Uint32(src)
		src = src[4:]
		if uint64(n) > uint64(len(src)) {
			return dst[:start], errSnappyLength
		}
		if dst, err = snappyBlock(dst, src[:n], maxBytes-(len(dst)-start)); err != nil {
			return dst[:start], err
		}
		src = src[n:]
	}
	return dst, nil
}

func isXerial(src []byte) bool {
	return len(src) >= len(xerialHeader) && string(src[:xerialMagicBytes]) == xerialHeader[:xerialMagicBytes]
}

func snappyBlock(dst, block []byte, maxBytes int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return dst, err
	}
	if n > len(block)*snappyMaxRatio {
		return dst, errSnappyClaim
	}
	if n > maxBytes {
		return dst, errTooLarge
	}
	dst = slices.Grow(dst, n)
	out := dst[len(dst) : len(dst)+n]
	if _, err := snappy.Decode(out, block); err != nil {
		return dst, err
	}
	return dst[:len(dst)+n], nil
}
