package record

// Record is one record of a batch. Key, Value and the headers share memory with the batch, or
// with the Scratch that it was decompressed into: they are valid only for the call that
// hands them over.
type Record struct {
	Attributes     int8 // no bit has a meaning so far
	OffsetDelta    int32
	TimestampDelta int64
	Offset         int64
	Timestamp      int64  // ms; -1 when the producer gave none
	Key, Value     []byte // nil is null, which is not the same as empty
	HeaderCount    int
	SizeBytes      int // with the length in front

	headersRaw []byte // checked when the record was parsed
}

// Header is a key with a value for Builder.Append; a nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// Headers calls f with each header in order until f returns false; a nil value is null.
// The bytes were checked when the record was parsed, so an error means a Record that was not
// made by this package.
func (r *Record) Headers(f func(key, value []byte) bool) error {
	pos := 0
	for range r.HeaderCount {
		var key, value []byte
		key, pos = lengthBytes(r.headersRaw, pos)
		if pos < 0 || key == nil {
			return &CorruptError{Field: "header key", Index: 0}
		}
		if value, pos = lengthBytes(r.headersRaw, pos); pos < 0 {
			return &CorruptError{Field: "header value", Index: 0}
		}
		if !f(key, value) {
			return nil
		}
	}
	return nil
}

// parse reads the record at the start of buf and returns its size. On failure it returns 0 and
// names the field.
func (r *Record) parse(buf []byte) (sizeBytes int, bad string) {
	length, start := varint(buf, 0)
	if start < 0 || length < 0 || int(length) > len(buf)-start {
		return 0, "length"
	}
	end := start + int(length)
	body := buf[start:end]
	if len(body) == 0 {
		return 0, "attributes"
	}
	r.Attributes = int8(body[0])
	pos := 1
	if r.TimestampDelta, pos = varlong(body, pos); pos < 0 {
		return 0, "timestamp delta"
	}
	if r.OffsetDelta, pos = varint(body, pos); pos < 0 {
		return 0, "offset delta"
	}
	if r.Key, pos = lengthBytes(body, pos); pos < 0 {
		return 0, "key length"
	}
	if r.Value, pos = lengthBytes(body, pos); pos < 0 {
		return 0, "value length"
	}
	var headers int32
	if headers, pos = varint(body, pos); pos < 0 || headers < 0 || int(headers) > (len(body)-pos)/2 {
		return 0, "header count"
	}
	r.HeaderCount = int(headers)
	r.headersRaw = body[pos:]
	if headers > 0 {
		if pos, bad = skipHeaders(body, pos, int(headers)); pos < 0 {
			return 0, bad
		}
	}
	if pos != len(body) {
		return 0, "length"
	}
	r.SizeBytes = end
	return end, ""
}

// lengthBytes reads a length and that many bytes; -1 as length is null, less is an error.
func lengthBytes(buf []byte, pos int) ([]byte, int) {
	n, pos := varint(buf, pos)
	if pos < 0 || n < 0 {
		if n == -1 {
			return nil, pos
		}
		return nil, -1
	}
	if int(n) > len(buf)-pos {
		return nil, -1
	}
	end := pos + int(n)
	return buf[pos:end:end], end
}

func skipHeaders(buf []byte, pos, count int) (int, string) {
	for range count {
		var n int32
		if n, pos = varint(buf, pos); pos < 0 || n < 0 || int(n) > len(buf)-pos {
			return -1, "header key length"
		}
		pos += int(n)
		if n, pos = varint(buf, pos); pos < 0 || n < -1 || int(n) > len(buf)-pos {
			return -1, "header value length"
		}
		pos += max(int(n), 0)
	}
	return pos, ""
}

// skimWindow is how many bytes skim wants to see; fewer go to parse.
const skimWindow = 16

// skim is parse for the record that most batches are made of: fields of one or two bytes, no
// headers. It returns size 0 for any other, good or bad, which parse then judges. It is here
// because validation of small records costs several times their CRC otherwise.
func skim(buf []byte) (sizeBytes int, timestampDelta int64, offsetDelta int32, nullKey bool) {
	if len(buf) < skimWindow {
		return
	}
	length, pos := uint(buf[0]), uint(1)
	if length >= 0x80 {
		length, pos = length&0x7f|uint(buf[1])<<7, 2
	}
	end := pos + length>>1
	if length&1 != 0 || length > 0x3fff || end > uint(len(buf)) {
		return
	}
	pos++ // attributes
	ts := uint(buf[pos])
	if pos++; ts >= 0x80 {
		ts = ts&0x7f | uint(buf[pos])<<7
		pos++
	}
	delta := uint(buf[pos])
	if pos++; delta >= 0x80 {
		delta = delta&0x7f | uint(buf[pos])<<7
		pos++
	}
	key := uint(buf[pos])
	if pos++; key >= 0x80 {
		key = key&0x7f | uint(buf[pos])<<7
		pos++
	}
	if ts|delta|key > 0x3fff || key&1 != 0 && key != 1 {
		return
	}
	pos += key >> 1
	if pos+2 > end {
		return
	}
	value := uint(buf[pos])
	if pos++; value >= 0x80 {
		value = value&0x7f | uint(buf[pos])<<7
		pos++
	}
	if value > 0x3fff || value&1 != 0 && value != 1 {
		return
	}
	if pos += value >> 1; pos+1 != end || buf[pos] != 0 {
		return
	}
	return int(end), int64(ts>>1) ^ -int64(ts&1), int32(delta>>1) ^ -int32(delta&1), key == 1
}
