package history

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A value is producer u32, seq u64, CRC-32C u32 of everything else and of the place, and
// filler. The place is in the checksum so that a record in the wrong partition shows.
const valueHeadBytes = 16

// MinValueBytes is the least size of a value.
const MinValueBytes = valueHeadBytes

// Encode makes the value of a record, of sizeBytes or a little more if that is too few.
func Encode(p Place, id ID, sizeBytes int) []byte {
	v := make([]byte, max(sizeBytes, valueHeadBytes))
	binary.BigEndian.PutUint32(v[0:], uint32(id.Producer))
	binary.BigEndian.PutUint64(v[4:], uint64(id.Seq))
	x := uint64(id.Seq)*0x9E3779B97F4A7C15 + uint64(id.Producer)
	for i := valueHeadBytes; i < len(v); i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		v[i] = byte(x)
	}
	binary.BigEndian.PutUint32(v[12:], checksum(p, v))
	return v
}

// Decode reads a value back, or says how it is damaged.
func Decode(p Place, v []byte) (ID, error) {
	if len(v) < valueHeadBytes {
		return ID{}, fmt.Errorf("a value of %d bytes", len(v))
	}
	if want, got := binary.BigEndian.Uint32(v[12:]), checksum(p, v); want != got {
		return ID{}, fmt.Errorf("a value of %d bytes has checksum %08x, not %08x", len(v), got, want)
	}
	return ID{Producer: int32(binary.BigEndian.Uint32(v[0:])), Seq: int64(binary.BigEndian.Uint64(v[4:]))}, nil
}

func checksum(p Place, v []byte) uint32 {
	sum := crc32.Update(uint32(p.Partition), castagnoli, []byte(p.Topic))
	sum = crc32.Update(sum, castagnoli, v[:12])
	return crc32.Update(sum, castagnoli, v[valueHeadBytes:])
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
