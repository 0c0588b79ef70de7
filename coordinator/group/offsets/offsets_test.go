package offsets

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/internal/testkit"
)

func committed(offset, atMs, expireMs, record int64) Committed {
	return Committed{Offset: journal.Offset{Offset: offset, CommitTimeMs: atMs, ExpireTimeMs: expireMs}, RecordOffset: record}
}

func TestExpiryFollowsTheGroup(t *testing.T) {
	var table Table
	table.Set("old", 0, committed(1, 100, -1, 0))
	table.Set("old", 1, committed(1, 900, -1, 1))
	table.Set("read", 0, committed(1, 100, -1, 2))
	table.Set("asked", 0, committed(1, 100, 5000, 3)) // its client asked for another time
	tp := func(topic string, p int32) TopicPartition { return TopicPartition{topic, p} }
	for name, c := range map[string]struct {
		rule Rule
		now  int64
		want []TopicPartition
	}{
		"not yet":                 {Rule{SinceMs: -1}, 1099, nil},
		"from the commit":         {Rule{SinceMs: -1}, 1100, []TopicPartition{tp("old", 0), tp("read", 0)}},
		"from the last member":    {Rule{SinceMs: 800}, 1799, nil},
		"since the last member":   {Rule{SinceMs: 800}, 1800, []TopicPartition{tp("old", 0), tp("old", 1), tp("read", 0)}},
		"what the client wanted":  {Rule{SinceMs: 4900}, 5000, []TopicPartition{tp("asked", 0)}},
		"read topics stay":        {Rule{SinceMs: -1, Subscribed: func(t string) bool { return t == "read" }}, 9000, []TopicPartition{tp("asked", 0), tp("old", 0), tp("old", 1)}},
		"a group that keeps them": {Rule{Keep: true}, 9000, nil},
	} {
		if got := table.Expired(c.rule, c.now, 1000); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestTableAgainstModel: commits and deletions in any order of their records leave the latest.
func TestTableAgainstModel(t *testing.T) {
	rng := testkit.Rand(t)
	var table Table
	model := map[TopicPartition]Committed{}
	for i := range 5000 {
		tp := TopicPartition{fmt.Sprint("t", rng.IntN(4)), int32(rng.IntN(4))}
		switch record := int64(i - rng.IntN(20)); rng.IntN(3) {
		case 0:
			if c, ok := model[tp]; ok && c.RecordOffset <= record {
				delete(model, tp)
			}
			table.RemoveUntil(tp.Topic, tp.Partition, record)
		case 1:
			_, had := model[tp]
			if rng.IntN(4) == 0 {
				delete(model, tp)
				if table.Remove(tp.Topic, tp.Partition) != had {
					t.Fatal("Remove is wrong about what it found")
				}
			}
		default:
			c := committed(int64(i), 0, -1, record)
			if old, ok := model[tp]; !ok || old.RecordOffset <= record {
				model[tp] = c
			}
			table.Set(tp.Topic, tp.Partition, c)
		}
		if table.Len() != len(model) {
			t.Fatalf("%d offsets, want %d", table.Len(), len(model))
		}
	}
	n := 0
	for _, topic := range table.Topics() {
		for _, p := range table.Partitions(topic) {
			c, _ := table.Get(topic, p)
			if want := model[TopicPartition{topic, p}]; c != want {
				t.Errorf("%s-%d: %+v, want %+v", topic, p, c, want)
			}
			n++
		}
	}
	if n != len(model) || len(table.Keys(func(TopicPartition, Committed) bool { return true })) != n {
		t.Errorf("%d offsets are listed, want %d", n, len(model))
	}
}
