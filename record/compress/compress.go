// Package compress holds the codecs of record batches: gzip, snappy, lz4 and zstd, in the forms
// that Kafka's clients write and read.
//
// Invariants:
//   - Decompress never returns more than its bound, and takes memory as output appears, not as
//     the input claims: a length that the input cannot fill is an error before memory is taken.
//   - Nothing starts a goroutine. Encoders and decoders are pooled; what one held before makes
//     no difference to the next use.
//
// Package record calls it for batches; tools call Parse and String for names; the
// configuration catalogue calls CheckLevel.
package compress

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Codec is the number in the attributes of a batch.
type Codec int8

// The codecs that Kafka has.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// String returns Kafka's name of the codec.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return "codec " + strconv.Itoa(int(c))
}

// Parse reads a codec's name, in lower case as Kafka wants it; "uncompressed", the word of topic
// configurations, is None. The error names what is allowed.
func Parse(name string) (Codec, error) {
	switch name {
	case "none", "uncompressed":
		return None, nil
	case "gzip":
		return Gzip, nil
	case "snappy":
		return Snappy, nil
	case "lz4":
		return LZ4, nil
	case "zstd":
		return Zstd, nil
	}
	return None, fmt.Errorf("compress: unknown codec %q, want none, gzip, snappy, lz4 or zstd", name)
}

// Levels returns the bounds and the default of a codec's compression level, as KIP-390 set
// them; all 0 when the codec has none. Gzip also takes -1, which is its default.
func Levels(c Codec) (lowest, highest, standard int) {
	switch c {
	case Gzip:
		return 1, 9, -1
	case LZ4:
		return 1, 17, 9
	case Zstd:
		return -131072, 22, 3
	}
	return 0, 0, 0
}

// CheckLevel returns a *LevelError when Kafka would not allow level for c. 0 always passes: it
// stands for the codec's default.
func CheckLevel(c Codec, level int) error {
	lowest, highest, standard := Levels(c)
	if level == 0 || level == standard || lowest <= level && level <= highest || lowest == highest {
		return nil
	}
	return &LevelError{Codec: c, Level: level, Lowest: lowest, Highest: highest}
}

// Compress appends src, compressed, to dst. level 0 is the codec's default; snappy and None
// have no level. src and dst may not overlap.
func Compress(dst, src []byte, c Codec, level int) ([]byte, error) {
	if err := CheckLevel(c, level); err != nil {
		return dst, err
	}
	switch c {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return compressGzip(dst, src, level)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return compressLZ4(dst, src, level)
	case Zstd:
		return compressZstd(dst, src, level)
	}
	return dst, &UnknownCodecError{Codec: c}
}

// Decompress appends what src decompresses to to dst, at most maxBytes: more is a
// *TooLargeError. Input that is no valid stream is a *CorruptError. On an error dst comes
// back without anything appended. src and dst may not overlap.
func Decompress(dst, src []byte, c Codec, maxBytes int) ([]byte, error) {
	var out []byte
	var err error
	maxBytes = min(max(maxBytes, 0), math.MaxInt32)
	switch c {
	case None:
		if len(src) > maxBytes {
			return dst, &TooLargeError{Codec: c, MaxBytes: maxBytes}
		}
		return append(dst, src...), nil
	case Gzip:
		out, err = decompressGzip(dst, src, maxBytes)
	case Snappy:
		out, err = decompressSnappy(dst, src, maxBytes)
	case LZ4:
		out, err = decompressLZ4(dst, src, maxBytes)
	case Zstd:
		out, err = decompressZstd(dst, src, maxBytes)
	default:
		return dst, &UnknownCodecError{Codec: c}
	}
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, errTooLarge):
		return dst, &TooLargeError{Codec: c, MaxBytes: maxBytes}
	}
	return dst, &CorruptError{Codec: c, Err: err}
}

// errTooLarge is how a decoder says that the bound was met.
var errTooLarge = errors.New("output exceeds the bound")

// CorruptError is input that the codec cannot read.
type CorruptError struct {
	Codec Codec
	Err   error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("compress: corrupt %v data: %v", e.Codec, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// TooLargeError is output above the bound that the caller gave.
type TooLargeError struct {
	Codec    Codec
	MaxBytes int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("compress: %v data decompresses to more than %d bytes", e.Codec, e.MaxBytes)
}

// UnknownCodecError is a codec number that no Kafka version has.
type UnknownCodecError struct{ Codec Codec }

func (e *UnknownCodecError) Error() string {
	return fmt.Sprintf("compress: unknown codec number %d", int8(e.Codec))
}

// LevelError is a compression level that Kafka does not allow for the codec.
type LevelError struct {
	Codec                  Codec
	Level, Lowest, Highest int
}

func (e *LevelError) Error() string {
	also := ""
	if e.Codec == Gzip {
		also = " or be -1"
	}
	return fmt.Sprintf("compress: %v level %d must be between %d and %d%s", e.Codec, e.Level, e.Lowest, e.Highest, also)
}
