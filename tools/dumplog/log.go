package dumplog

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/record"
)

// dumpLog prints the batches of a segment and what they hold.
func (d *dumper) dumpLog(path string) error {
	base, err := baseOffset(path)
	if err != nil {
		return err
	}
	data, err := d.read(path)
	if err != nil {
		return err
	}
	head := "Log starting offset"
	if d.o.Format != FormatToday {
		head = "Starting offset"
	}
	fmt.Fprintf(d.out, "%s: %d\n", head, base)
	whole := len(data)
	data = data[:min(whole, d.o.MaxBytes)]
	position, last := 0, int64(-1)
	for {
		e := next(data[position:])
		if e == nil {
			break
		}
		if d.o.Format != Format10 || !d.o.Deep {
			d.printBatch(e, position)
		}
		if d.o.Deep {
			if err := d.printRecords(path, e, position, &last); err != nil {
				return fmt.Errorf("%s: batch at position %d: %w", path, position, err)
			}
		}
		position += len(e.raw)
	}
	if rest := len(data) - position; rest > 0 && d.o.MaxBytes == math.MaxInt32 {
		fmt.Fprintf(d.out, "Found %d invalid bytes at the end of %s\n", rest, filepath.Base(path))
	}
	return nil
}

// printBatch prints the line of a batch.
func (d *dumper) printBatch(e *entry, position int) {
	old := d.o.Format == Format10
	if b := e.v2; b != nil {
		fmt.Fprintf(d.out, "baseOffset: %d lastOffset: %d", b.BaseOffset(), b.LastOffset())
		if !old {
			fmt.Fprintf(d.out, " count: %d", b.Count())
		}
		fmt.Fprintf(d.out, " baseSequence: %d lastSequence: %d producerId: %d producerEpoch: %d partitionLeaderEpoch: %d isTransactional: %t",
			b.BaseSequence(), b.LastSequence(), b.ProducerID(), b.ProducerEpoch(), b.LeaderEpoch(), b.IsTransactional())
		if !old {
			fmt.Fprintf(d.out, " isControl: %t", b.IsControl())
		}
		if d.o.Format == FormatToday {
			fmt.Fprintf(d.out, " deleteHorizonMs: %s", optionalLong(b.HasDeleteHorizon(), b.BaseTimestamp()))
		}
	} else {
		fmt.Fprintf(d.out, "offset: %d", e.lastOffset())
	}
	fmt.Fprintf(d.out, " position: %d %s: %d", position, e.timestampType(), e.maxTimestamp())
	if old {
		fmt.Fprintf(d.out, " isvalid: %t", e.isValid())
	}
	fmt.Fprintf(d.out, " size: %d magic: %d compresscodec: %s crc: %d", len(e.raw), e.raw[magicPos], d.codecName(e), e.crc())
	if !old {
		fmt.Fprintf(d.out, " isvalid: %t", e.isValid())
	}
	fmt.Fprintln(d.out)
}

func (d *dumper) codecName(e *entry) string {
	name := e.codec().String()
	if d.o.Format != FormatToday {
		name = strings.ToUpper(name)
	}
	return name
}

// optionalLong is how Java prints an OptionalLong.
func optionalLong(set bool, v int64) string {
	if !set {
		return "OptionalLong.empty"
	}
	return fmt.Sprintf("OptionalLong[%d]", v)
}

// printRecords prints a line for each record of a batch.
func (d *dumper) printRecords(path string, e *entry, position int, last *int64) error {
	return e.records(func(r *rec) error {
		if *last != -1 && r.offset != *last+1 {
			d.gaps.add(path, *last, r.offset)
		}
		*last = r.offset
		prefix := ""
		switch {
		case d.o.Format == Format10:
			d.printRecord10(e, r, position)
		case !d.o.SkipRecordMetadata || d.o.Format == Format24:
			d.printRecord(e, r)
		default:
			prefix = "|"
		}
		if r.control == nil && d.o.PrintData {
			if err := d.printData(r, prefix); err != nil {
				return err
			}
		}
		fmt.Fprintln(d.out)
		return nil
	})
}

// printRecord prints the metadata of a record as Kafka 2.4 and later do.
func (d *dumper) printRecord(e *entry, r *rec) {
	keySize, valueSize, valid := "keySize", "valueSize", " isValid: %t crc: %d}" // the brace is Kafka's
	if d.o.Format == Format24 {
		keySize, valueSize, valid = "keysize", "valuesize", " crc: %[2]d isvalid: %[1]t"
	}
	fmt.Fprintf(d.out, "| offset: %d %s: %d %s: %d %s: %d", r.offset, e.timestampType(), r.timestamp, keySize, size(r.key), valueSize, size(r.value))
	if e.v2 != nil {
		fmt.Fprintf(d.out, " sequence: %d headerKeys: [%s]", r.sequence, strings.Join(r.headers, ","))
	} else {
		fmt.Fprintf(d.out, valid, r.valid, r.crc)
	}
	d.printControl(r)
}

// printRecord10 prints a record as Kafka 1.0 did, with its batch's fields.
func (d *dumper) printRecord10(e *entry, r *rec, position int) {
	valid := r.valid || e.v2 != nil // a record of format 2 has no checksum of its own
	fmt.Fprintf(d.out, "offset: %d position: %d %s: %d isvalid: %t keysize: %d valuesize: %d magic: %d compresscodec: %s",
		r.offset, position, e.timestampType(), r.timestamp, valid, size(r.key), size(r.value), e.raw[magicPos], d.codecName(e))
	if b := e.v2; b != nil {
		fmt.Fprintf(d.out, " producerId: %d producerEpoch: %d sequence: %d isTransactional: %t headerKeys: [%s]",
			b.ProducerID(), b.ProducerEpoch(), r.sequence, b.IsTransactional(), strings.Join(r.headers, ","))
	} else {
		fmt.Fprintf(d.out, " crc: %d", r.crc)
	}
	d.printControl(r)
}

func (d *dumper) printControl(r *rec) {
	if r.control == nil {
		return
	}
	c, err := record.ParseControl(r.control)
	switch {
	case err != nil:
		fmt.Fprintf(d.out, " controlType: unreadable (%v)", err)
	case c.Type == record.ControlAbort || c.Type == record.ControlCommit:
		fmt.Fprintf(d.out, " endTxnMarker: %s coordinatorEpoch: %d", c.Type, c.CoordinatorEpoch)
	default:
		fmt.Fprintf(d.out, " controlType: %s(%d)", c.Type, int16(c.Type))
	}
}

// printData prints key and value, as text or through the decoder.
func (d *dumper) printData(r *rec, prefix string) error {
	key, value, err := d.parse(r)
	if err != nil {
		return err
	}
	if key != nil {
		fmt.Fprintf(d.out, "%s key: %s", prefix, *key)
		prefix = ""
	}
	if value != nil {
		fmt.Fprintf(d.out, " payload: %s", *value)
	}
	return nil
}

// parse returns what to print of a record; nil prints nothing.
func (d *dumper) parse(r *rec) (key, value *string, err error) {
	switch d.o.Decoder {
	case OffsetsDecoder:
		return decodeOffsets(d.o.Format, r)
	case TransactionLogDecoder:
		return decodeTransaction(d.o.Format, r)
	}
	if r.value == nil && d.o.Format == Format10 {
		return nil, nil, nil
	}
	plain := func(b []byte) *string {
		if b == nil {
			return nil
		}
		s := text(b)
		return &s
	}
	return plain(r.key), plain(r.value), nil
}

func size(b []byte) int {
	if b == nil {
		return -1
	}
	return len(b)
}
