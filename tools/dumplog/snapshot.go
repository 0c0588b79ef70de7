package dumplog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
)

// A producer snapshot, big-endian: version int16, CRC-32C uint32 of what follows it,
// count int32, then count entries (Kafka's ProducerStateManager, since 0.11).
const (
	snapshotCRCPos     = 2
	snapshotCountPos   = 6
	snapshotHeadBytes  = 10
	snapshotEntryBytes = 46
)

// producerState is one entry of a snapshot.
type producerState struct {
	id               int64
	epoch            int16
	lastSequence     int32
	lastOffset       int64
	offsetDelta      int32
	timestamp        int64
	coordinatorEpoch int32
	currentTxnFirst  int64
	firstSequence    int32
}

// dumpSnapshot prints what a broker knew of each producer. A damaged snapshot is told on
// stderr, as a broker passes over it.
func (d *dumper) dumpSnapshot(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	states, problem := readSnapshot(b)
	if problem != "" {
		d.immediate = append(d.immediate, problem)
		return nil
	}
	for _, s := range states {
		d.printProducer(s)
	}
	return nil
}

func readSnapshot(b []byte) ([]producerState, string) {
	if len(b) < snapshotHeadBytes {
		return nil, "Snapshot failed schema validation: the file is too short"
	}
	if version := binary.BigEndian.Uint16(b); version != 1 {
		return nil, fmt.Sprintf("Snapshot contained an unknown file version %d", version)
	}
	stored := binary.BigEndian.Uint32(b[snapshotCRCPos:])
	if computed := crc32.Checksum(b[snapshotCountPos:], crc32.MakeTable(crc32.Castagnoli)); computed != stored {
		return nil, fmt.Sprintf("Snapshot is corrupt (CRC is no longer valid). Stored crc: %d. Computed crc: %d", stored, computed)
	}
	count := int64(binary.BigEndian.Uint32(b[snapshotCountPos:]))
	rest := b[snapshotHeadBytes:]
	if count*snapshotEntryBytes > int64(len(rest)) {
		return nil, "Snapshot failed schema validation: the file is too short"
	}
	states := make([]producerState, 0, count)
	for range count {
		e := rest[:snapshotEntryBytes]
		rest = rest[snapshotEntryBytes:]
		be := binary.BigEndian
		s := producerState{
			id: int64(be.Uint64(e)), epoch: int16(be.Uint16(e[8:])), lastSequence: int32(be.Uint32(e[10:])),
			lastOffset: int64(be.Uint64(e[14:])), offsetDelta: int32(be.Uint32(e[22:])), timestamp: int64(be.Uint64(e[26:])),
			coordinatorEpoch: int32(be.Uint32(e[34:])), currentTxnFirst: int64(be.Uint64(e[38:])),
		}
		s.firstSequence = s.lastSequence - s.offsetDelta
		if s.lastSequence < s.offsetDelta { // numbers go on at 0 after 2^31-1
			s.firstSequence = math.MaxInt32 - (s.offsetDelta - s.lastSequence) + 1
		}
		states = append(states, s)
	}
	return states, ""
}

func (d *dumper) printProducer(s producerState) {
	fmt.Fprintf(d.out, "producerId: %d producerEpoch: %d coordinatorEpoch: %d currentTxnFirstOffset: %s ",
		s.id, s.epoch, s.coordinatorEpoch, d.optionalOffset(s.currentTxnFirst))
	has := s.lastOffset >= 0
	switch d.o.Format {
	case Format10:
		list := ""
		if has {
			list = fmt.Sprintf("BatchMetadata(firstSeq=%d, lastSeq=%d, firstOffset=%d, lastOffset=%d, timestamp=%d)",
				s.firstSequence, s.lastSequence, s.lastOffset-int64(s.offsetDelta), s.lastOffset, s.timestamp)
		}
		fmt.Fprintf(d.out, "cachedMetadata: Queue(%s)\n", list)
		return
	case FormatToday:
		fmt.Fprintf(d.out, "lastTimestamp: %d ", s.timestamp)
	}
	if has {
		fmt.Fprintf(d.out, "firstSequence: %d lastSequence: %d lastOffset: %d offsetDelta: %d timestamp: %d",
			s.firstSequence, s.lastSequence, s.lastOffset, s.offsetDelta, s.timestamp)
	}
	fmt.Fprintln(d.out)
}

// optionalOffset is how Scala's Option, and today Java's OptionalLong, are printed.
func (d *dumper) optionalOffset(offset int64) string {
	switch {
	case d.o.Format == FormatToday:
		return optionalLong(offset >= 0, offset)
	case offset >= 0:
		return fmt.Sprintf("Some(%d)", offset)
	}
	return "None"
}
