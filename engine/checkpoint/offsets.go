package checkpoint

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Offset is one line of an offset checkpoint: recovery points, log start offsets, high
// watermarks (Kafka's OffsetCheckpointFile).
type Offset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Epoch is one line of a leader-epoch-checkpoint (Kafka's LeaderEpochCheckpointFile).
type Epoch struct {
	Epoch int32
	Start int64
}

const version = "0"

// ParseOffsets reads an offset checkpoint. An empty file has no entries: Kafka creates the
// file before it has something to write.
func ParseOffsets(data []byte) ([]Offset, error) {
	return parseLines(data, "offset checkpoint", func(fields []string) (Offset, error) {
		if len(fields) != 3 {
			return Offset{}, fmt.Errorf("%d fields where topic, partition and offset belong", len(fields))
		}
		partition, err := parseCount(fields[1], 32)
		if err != nil {
			return Offset{}, err
		}
		offset, err := parseCount(fields[2], 64)
		if err != nil {
			return Offset{}, err
		}
		if fields[0] == "" {
			return Offset{}, fmt.Errorf("the topic is empty")
		}
		return Offset{Topic: fields[0], Partition: int32(partition), Offset: offset}, nil
	})
}

// AppendOffsets renders an offset checkpoint after dst.
func AppendOffsets(dst []byte, entries []Offset) []byte {
	dst = appendHead(dst, len(entries))
	for _, e := range entries {
		dst = append(dst, e.Topic...)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(e.Partition), 10)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, e.Offset, 10)
		dst = append(dst, '\n')
	}
	return dst
}

// ParseEpochs reads a leader-epoch-checkpoint. The order of the lines is the file's; it is
// for the reader to refuse or to drop what is not monotonic.
func ParseEpochs(data []byte) ([]Epoch, error) {
	return parseLines(data, "leader-epoch-checkpoint", func(fields []string) (Epoch, error) {
		if len(fields) != 2 {
			return Epoch{}, fmt.Errorf("%d fields where epoch and start offset belong", len(fields))
		}
		epoch, err := parseCount(fields[0], 32)
		if err != nil {
			return Epoch{}, err
		}
		start, err := parseCount(fields[1], 64)
		if err != nil {
			return Epoch{}, err
		}
		return Epoch{Epoch: int32(epoch), Start: start}, nil
	})
}

// AppendEpochs renders a leader-epoch-checkpoint after dst.
func AppendEpochs(dst []byte, entries []Epoch) []byte {
	dst = appendHead(dst, len(entries))
	for _, e := range entries {
		dst = strconv.AppendInt(dst, int64(e.Epoch), 10)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, e.Start, 10)
		dst = append(dst, '\n')
	}
	return dst
}

func appendHead(dst []byte, count int) []byte {
	dst = append(dst, version...)
	dst = append(dst, '\n')
	dst = strconv.AppendInt(dst, int64(count), 10)
	return append(dst, '\n')
}

// parseLines reads Kafka's CheckpointFile frame: version, count, that many lines. Memory
// follows the bytes that are there, never the count that they claim.
func parseLines[T any](data []byte, kind string, parse func(fields []string) (T, error)) ([]T, error) {
	if len(data) == 0 {
		return nil, nil
	}
	head, rest := cutLine(data)
	if head != version {
		return nil, &FormatError{File: kind, Line: 1, Reason: fmt.Sprintf("version is %q, only %q is known", clip(head), version)}
	}
	if len(rest) == 0 {
		return nil, nil
	}
	line, rest := cutLine(rest)
	count, err := parseCount(line, 32)
	if err != nil {
		return nil, &FormatError{File: kind, Line: 2, Reason: err.Error()}
	}
	var entries []T
	for n := 3; len(rest) > 0; n++ {
		line, rest = cutLine(rest)
		if int64(len(entries)) == count {
			return nil, &FormatError{File: kind, Line: n, Reason: fmt.Sprintf("more lines than the %d announced", count)}
		}
		e, err := parse(strings.Fields(line))
		if err != nil {
			return nil, &FormatError{File: kind, Line: n, Reason: err.Error()}
		}
		entries = append(entries, e)
	}
	if int64(len(entries)) != count {
		return nil, &FormatError{File: kind, Reason: fmt.Sprintf("%d entries announced, %d found", count, len(entries))}
	}
	return entries, nil
}

func cutLine(data []byte) (line string, rest []byte) {
	before, after, _ := bytes.Cut(data, []byte{'\n'})
	return strings.TrimSuffix(string(before), "\r"), after
}

// parseCount reads a number that cannot be negative.
func parseCount(s string, bits int) (int64, error) {
	n, err := strconv.ParseInt(s, 10, bits)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is not a number from 0", clip(s))
	}
	return n, nil
}

// clip keeps an error message readable whatever a file holds.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
