package producer

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

// A snapshot file, all integers big-endian: version int16 = 1, CRC-32C uint32 of what
// follows it, count int32, then an entry of 46 bytes for each producer id (Kafka's
// ProducerSnapshot.json, unchanged since Kafka 0.11).
const (
	snapshotVersion    = 1
	snapshotCRCPos     = 2
	snapshotCountPos   = 6
	snapshotHeadBytes  = 10
	snapshotEntryBytes = 46
)

// AppendSnapshot renders the state after dst, producers by id.
func (m *Manager) AppendSnapshot(dst []byte) []byte {
	start := len(dst)
	dst = slices.Grow(dst, snapshotHeadBytes+len(m.producers)*snapshotEntryBytes)
	dst = binary.BigEndian.AppendUint16(dst, snapshotVersion)
	dst = binary.BigEndian.AppendUint32(dst, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(m.producers)))
	for _, id := range slices.Sorted(maps.Keys(m.producers)) {
		dst = m.producers[id].appendTo(dst)
	}
	body := dst[start+snapshotCountPos:]
	binary.BigEndian.PutUint32(dst[start+snapshotCRCPos:], crc32.Checksum(body, castagnoli()))
	return dst
}

func (e *entry) appendTo(dst []byte) []byte {
	last := batch{lastOffset: -1, lastSeq: NoSequence}
	if e.count > 0 {
		last = e.batches[(e.head+e.count-1)%WindowBatches]
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.id))
	dst = binary.BigEndian.AppendUint16(dst, uint16(e.epoch))
	dst = binary.BigEndian.AppendUint32(dst, uint32(last.lastSeq))
	dst = binary.BigEndian.AppendUint64(dst, uint64(last.lastOffset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(last.offsetDelta))
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.lastTimestamp))
	dst = binary.BigEndian.AppendUint32(dst, uint32(e.coordinatorEpoch))
	return binary.BigEndian.AppendUint64(dst, uint64(e.txnFirst))
}

// LoadSnapshot replaces the state by a snapshot's, which was taken at endOffset. After an
// error, which is a *SnapshotError, the state is unchanged.
func (m *Manager) LoadSnapshot(data []byte, endOffset int64) error {
	count, err := checkSnapshot(data)
	if err != nil {
		return err
	}
	next := Manager{endOffset: endOffset}
	for i := range count {
		raw := data[snapshotHeadBytes+i*snapshotEntryBytes:]
		e := next.add(int64(binary.BigEndian.Uint64(raw)))
		e.epoch = int16(binary.BigEndian.Uint16(raw[8:]))
		last := batch{
			lastSeq:     int32(binary.BigEndian.Uint32(raw[10:])),
			lastOffset:  int64(binary.BigEndian.Uint64(raw[14:])),
			offsetDelta: int32(binary.BigEndian.Uint32(raw[22:])),
			timestamp:   int64(binary.BigEndian.Uint64(raw[26:])),
		}
		e.lastTimestamp = last.timestamp
		e.coordinatorEpoch = int32(binary.BigEndian.Uint32(raw[34:]))
		e.txnFirst = max(-1, int64(binary.BigEndian.Uint64(raw[38:])))
		if last.lastOffset >= 0 {
			// No check against endOffset: Kafka 1.0 counted the batch in that made it roll.
			if last.offsetDelta < 0 || last.lastOffset < int64(last.offsetDelta) {
				return snapshotError("producer %d: offset %d with delta %d", e.id, last.lastOffset, last.offsetDelta)
			}
			e.push(last)
		}
		if e.txnFirst >= 0 {
			next.open = insertTxn(next.open, txn{producerID: e.id, first: e.txnFirst})
		}
	}
	if len(next.producers) != count {
		return snapshotError("a producer id stands twice")
	}
	*m = next
	return nil
}

func checkSnapshot(data []byte) (count int, err error) {
	if len(data) < snapshotHeadBytes {
		return 0, snapshotError("%d bytes are too short", len(data))
	}
	if v := binary.BigEndian.Uint16(data); v != snapshotVersion {
		return 0, snapshotError("version %d, only %d is known", v, snapshotVersion)
	}
	want, got := binary.BigEndian.Uint32(data[snapshotCRCPos:]), crc32.Checksum(data[snapshotCountPos:], castagnoli())
	if want != got {
		return 0, snapshotError("CRC is %08x, the contents give %08x", want, got)
	}
	n := int64(int32(binary.BigEndian.Uint32(data[snapshotCountPos:])))
	if n < 0 || n*snapshotEntryBytes != int64(len(data)-snapshotHeadBytes) {
		return 0, snapshotError("%d entries do not fill %d bytes", n, len(data))
	}
	return int(n), nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// SnapshotError says that a snapshot file is damaged; the state is then rebuilt from an
// older one, or from the log.
type SnapshotError struct{ Reason string }

func (e *SnapshotError) Error() string { return "producer snapshot: " + e.Reason }

func snapshotError(format string, args ...any) error {
	return &SnapshotError{Reason: fmt.Sprintf(format, args...)}
}
