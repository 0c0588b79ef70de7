package engine

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/record"
)

func TestTimestampAt(t *testing.T) {
	s := newEnv(t).open(t)
	l := mustCreate(t, s, "t", DefaultConfig())
	b := record.NewBuilder(record.BuilderOptions{})
	for i := range int64(5) { // offsets 0 to 4, ten milliseconds apart
		b.Append(1000+10*i, nil, []byte("v"))
	}
	five, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, five)
	mustAppend(t, l, batch(t, 5000, "a", "b")) // 5, 6
	stamped := mustCreate(t, s, "stamped", func() Config { c := DefaultConfig(); c.TimestampType = record.LogAppendTime; return c }())
	mustAppend(t, stamped, batch(t, 1, "a", "b"))
	for _, c := range []struct {
		l            *Log
		offset, upTo int64
		want         int64 // -1: none
	}{
		{l, 0, 7, 1000}, {l, 1, 7, 1010}, {l, 4, 7, 1040}, {l, 5, 7, 5000}, {l, 6, 7, 5000},
		{l, 7, 7, -1}, {l, 5, 5, -1}, {l, 4, 5, 1040},
		{stamped, 1, 2, testStart.UnixMilli()},
	} {
		ms, found, err := c.l.TimestampAt(c.offset, c.upTo)
		if err != nil || found != (c.want >= 0) || found && ms != c.want {
			t.Errorf("%s, offset %d of %d: %d, %t, %v; want %d", c.l.TopicPartition(), c.offset, c.upTo, ms, found, err, c.want)
		}
	}
	var out *OffsetOutOfRangeError
	if _, _, err := l.TimestampAt(8, 9); !errors.As(err, &out) {
		t.Errorf("beyond the end: %v", err)
	}
}
