package record

import (
	"encoding/binary"
	"math"

	"github.com/millrace/millrace/record/compress"
)

// Producer is what an idempotent or transactional producer puts into its batches.
type Producer struct {
	ID           int64
	Epoch        int16
	BaseSequence int32
}

// BuilderOptions are the header fields of the batch to build. The zero value gives an
// uncompressed batch at offset 0 with create times and no producer.
type BuilderOptions struct {
	BaseOffset    int64
	LeaderEpoch   int32
	Codec         compress.Codec
	Level         int       // of Codec; 0 is its default
	Producer      *Producer // nil: none
	Transactional bool
	Control       bool
	// AppendTimeMs makes the batch one of LogAppendTime when it is not 0.
	AppendTimeMs int64
}

// Builder makes batches for tools, tests and internal topics; what producers send is never
// built anew. It is not safe for concurrent use. Reset lets it be used again without allocating.
type Builder struct {
	o       BuilderOptions
	plain   []byte // header and uncompressed records
	packed  []byte // header and compressed records
	count   int32
	next    int32 // the least offset delta that may come
	baseTs  int64
	maxTs   int64
	tooLong bool
}

// NewBuilder returns a Builder for one batch.
func NewBuilder(o BuilderOptions) *Builder {
	b := new(Builder)
	b.Reset(o)
	return b
}

// Reset starts another batch in the same memory, which the last Batch of Finish shares.
func (b *Builder) Reset(o BuilderOptions) {
	var header [HeaderBytes]byte
	*b = Builder{o: o, plain: append(b.plain[:0], header[:]...), packed: b.packed, maxTs: NoTimestamp}
}

// Count is the number of records so far.
func (b *Builder) Count() int { return int(b.count) }

// SizeBytes is the size of the batch so far, uncompressed.
func (b *Builder) SizeBytes() int { return len(b.plain) }

// Append adds a record at the next offset. A nil key or value is null; timestampMs -1 is none.
func (b *Builder) Append(timestampMs int64, key, value []byte, headers ...Header) {
	b.AppendAt(b.next, timestampMs, key, value, headers...)
}

// AppendAt adds a record at BaseOffset+delta, as it is in a compacted log. Deltas must rise;
// Finish reports when they did not.
func (b *Builder) AppendAt(delta int32, timestampMs int64, key, value []byte, headers ...Header) {
	if delta < b.next || delta == math.MaxInt32 {
		b.tooLong = true
		return
	}
	if b.count == 0 {
		b.baseTs = timestampMs
	}
	b.maxTs = max(b.maxTs, timestampMs)
	tsDelta := timestampMs - b.baseTs
	size := 1 + VarlongBytes(tsDelta) + VarintBytes(delta) + sizeOf(key) + sizeOf(value) + VarintBytes(int32(len(headers)))
	for _, h := range headers {
		size += VarintBytes(int32(len(h.Key))) + len(h.Key) + sizeOf(h.Value)
	}
	if size > math.MaxInt32-len(b.plain) {
		b.tooLong = true
		return
	}
	p := AppendVarint(b.plain, int32(size))
	p = append(p, 0)
	p = AppendVarlong(p, tsDelta)
	p = AppendVarint(p, delta)
	p = appendBytes(p, key)
	p = appendBytes(p, value)
	p = AppendVarint(p, int32(len(headers)))
	for _, h := range headers {
		p = AppendVarint(p, int32(len(h.Key)))
		p = append(p, h.Key...)
		p = appendBytes(p, h.Value)
	}
	b.plain = p
	b.count++
	b.next = delta + 1
}

// Finish completes the batch, which shares memory with the Builder until Reset. An empty batch
// is an *InvalidError, as is one whose deltas did not rise or that passes 2 GiB.
func (b *Builder) Finish() (Batch, error) {
	if b.count == 0 {
		return nil, invalid("a batch needs a record")
	}
	if b.tooLong {
		return nil, invalid("offset deltas must rise, and a batch stays below 2 GiB")
	}
	h := b.plain
	binary.BigEndian.PutUint64(h[posBaseOffset:], uint64(b.o.BaseOffset))
	binary.BigEndian.PutUint32(h[posLeaderEpoch:], uint32(b.o.LeaderEpoch))
	h[posMagic] = CurrentMagic
	binary.BigEndian.PutUint16(h[posAttributes:], b.attributes())
	binary.BigEndian.PutUint32(h[posLastOffsetDelta:], uint32(b.next-1))
	binary.BigEndian.PutUint64(h[posBaseTimestamp:], uint64(b.baseTs))
	maxTs := b.maxTs
	if b.o.AppendTimeMs != 0 {
		maxTs = b.o.AppendTimeMs
	}
	binary.BigEndian.PutUint64(h[posMaxTimestamp:], uint64(maxTs))
	p := Producer{ID: NoProducerID, Epoch: NoProducerEpoch, BaseSequence: NoSequence}
	if b.o.Producer != nil {
		p = *b.o.Producer
	}
	binary.BigEndian.PutUint64(h[posProducerID:], uint64(p.ID))
	binary.BigEndian.PutUint16(h[posProducerEpoch:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(h[posBaseSequence:], uint32(p.BaseSequence))
	binary.BigEndian.PutUint32(h[posCount:], uint32(b.count))
	out := Batch(h)
	if b.o.Codec != compress.None {
		packed, err := pack(b.packed[:0], out, h[HeaderBytes:], b.o.Codec, b.o.Level)
		if err != nil {
			return nil, err
		}
		b.packed, out = packed, packed
	}
	seal(out, b.o.Codec)
	return out, nil
}

func (b *Builder) attributes() uint16 {
	var a uint16
	if b.o.AppendTimeMs != 0 {
		a |= attrLogAppendTime
	}
	if b.o.Transactional {
		a |= attrTransactional
	}
	if b.o.Control {
		a |= attrControl
	}
	return a
}

// Recompress appends to dst a copy of b whose records are compressed with codec (level 0 is the
// codec's default) and returns dst; offsets, timestamps and producer fields stay. b and dst may
// not overlap. Errors as Iterate's, and *compress.LevelError.
func (b Batch) Recompress(dst []byte, codec compress.Codec, level int) ([]byte, error) {
	if len(b) < HeaderBytes {
		return dst, ErrShort
	}
	s := getScratch()
	defer putScratch(s)
	recs, err := b.plainRecords(s)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	out, err := pack(dst, b, recs, codec, level)
	if err != nil {
		return dst, err
	}
	seal(Batch(out[start:]), codec)
	return out, nil
}

// pack appends the header of from and the compressed records to dst.
func pack(dst []byte, from Batch, recs []byte, codec compress.Codec, level int) ([]byte, error) {
	return compress.Compress(append(dst, from[:HeaderBytes]...), recs, codec, level)
}

// seal writes what follows from the finished bytes: length, codec bits and CRC.
func seal(b Batch, codec compress.Codec) {
	binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-lengthEnd))
	b[posAttributes+1] = b[posAttributes+1]&^attrCodecMask | byte(codec)
	b.putCRC()
}

func sizeOf(v []byte) int {
	if v == nil {
		return 1
	}
	return VarintBytes(int32(len(v))) + len(v)
}

func appendBytes(dst, v []byte) []byte {
	if v == nil {
		return AppendVarint(dst, -1)
	}
	return append(AppendVarint(dst, int32(len(v))), v...)
}
