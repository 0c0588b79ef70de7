package record

import "encoding/binary"

// PeekBytes is how many bytes Peek needs: up to and with the magic.
const PeekBytes = posMagic + 1

// minLegacyLength is the least length field of a magic 0 message (crc, magic, attributes, key
// and value length); anything below is no Kafka message of any version.
const minLegacyLength = 14

// Peek returns the size of the batch at the start of buf, which needs only its first
// PeekBytes bytes; ErrShort when there are fewer. A length that no batch can have is a
// *CorruptError; magic other than 2 is an *UnsupportedMagicError, with the size for skipping.
func Peek(buf []byte) (sizeBytes int, err error) {
	if len(buf) < PeekBytes {
		return 0, ErrShort
	}
	length := int32(binary.BigEndian.Uint32(buf[posLength:]))
	magic := int8(buf[posMagic])
	if magic == CurrentMagic && length >= HeaderBytes-lengthEnd {
		return int(length) + lengthEnd, nil
	}
	return peekBad(length, magic)
}

func peekBad(length int32, magic int8) (int, error) {
	if length < minLegacyLength {
		return 0, &CorruptError{Field: "length", Index: -1, Got: int64(length), Want: HeaderBytes - lengthEnd}
	}
	if magic != CurrentMagic {
		return int(length) + lengthEnd, &UnsupportedMagicError{Magic: magic}
	}
	return 0, &CorruptError{Field: "length", Index: -1, Got: int64(length), Want: HeaderBytes - lengthEnd}
}

// Next cuts the first batch off buf. It looks at length and magic only: the bytes may still be
// torn, so CheckCRC or Validate comes next. The errors are Peek's, and ErrShort when buf ends
// before the batch does.
func Next(buf []byte) (b Batch, rest []byte, err error) {
	size, err := Peek(buf)
	if err != nil {
		return nil, buf, err
	}
	if size > len(buf) {
		return nil, buf, ErrShort
	}
	return Batch(buf[:size:size]), buf[size:], nil
}
