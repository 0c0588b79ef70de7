package consumer

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/protocol"
)

// The cases are those of Kafka's CurrentAssignmentBuilderTest. Where a member stays in
// UNREVOKED_PARTITIONS the epochs are those of Kafka 4.1 and later, which no longer raise
// the epoch by one.
func TestReconciliationAsKafka(t *testing.T) {
	t1, t2 := TopicID{1}, TopicID{2}
	both := func(a, b []int32) Assignment { return Assignment{t1: a, t2: b} }
	list := func(p ...int32) []int32 { return p }
	is := func(state MemberState, epoch, previous int32, assigned, pending Assignment) Member {
		return Member{State: state, Epoch: epoch, PreviousEpoch: previous, Assigned: assigned, Pending: pending}
	}
	const free, taken, taken2 = 0, 1, 2
	for _, c := range []struct {
		name   string
		from   Member
		epoch  int32
		target Assignment
		others int // who owns everything else
		owned  Assignment
		to     Member
	}{
		{"stable to stable", is(Stable, 10, 10, both(list(1, 2, 3), list(4, 5, 6)), nil), 11, both(list(1, 2, 3), list(4, 5, 6)), taken, nil,
			is(Stable, 11, 10, both(list(1, 2, 3), list(4, 5, 6)), nil)},
		{"stable to stable with new partitions", is(Stable, 10, 10, both(list(1, 2, 3), list(4, 5, 6)), nil), 11, both(list(1, 2, 3, 4), list(4, 5, 6, 7)), free, nil,
			is(Stable, 11, 10, both(list(1, 2, 3, 4), list(4, 5, 6, 7)), nil)},
		{"stable in its epoch", is(Stable, 11, 10, both(list(1), list(4)), nil), 11, both(list(1, 2), list(4)), free, nil,
			is(Stable, 11, 10, both(list(1), list(4)), nil)},
		{"stable to unrevoked", is(Stable, 10, 10, both(list(1, 2, 3), list(4, 5, 6)), nil), 11, both(list(2, 3, 4), list(5, 6, 7)), free, nil,
			is(UnrevokedPartitions, 10, 10, both(list(2, 3), list(5, 6)), both(list(1), list(4)))},
		{"stable to unreleased", is(Stable, 10, 10, both(list(1, 2, 3), list(4, 5, 6)), nil), 11, both(list(1, 2, 3, 4), list(4, 5, 6, 7)), taken, nil,
			is(UnreleasedPartitions, 11, 10, both(list(1, 2, 3), list(4, 5, 6)), nil)},
		{"stable to unreleased, revoked already", is(Stable, 10, 10, both(list(1, 2, 3), list(4, 5, 6)), nil), 11, both(list(1, 2, 3), list(4, 5, 7)), taken2, Assignment{},
			is(UnreleasedPartitions, 11, 10, both(list(1, 2, 3), list(4, 5)), nil)},
		{"unrevoked to stable", is(UnrevokedPartitions, 10, 10, both(list(2, 3), list(5, 6)), both(list(1), list(4))), 11, both(list(2, 3), list(5, 6)), free, both(list(2, 3), list(5, 6)),
			is(Stable, 11, 10, both(list(2, 3), list(5, 6)), nil)},
		{"unrevoked says nothing", is(UnrevokedPartitions, 10, 10, both(list(2, 3), list(5, 6)), both(list(1), list(4))), 12, both(list(3), list(6)), free, nil,
			is(UnrevokedPartitions, 10, 10, both(list(2, 3), list(5, 6)), both(list(1), list(4)))},
		{"unrevoked holds one", is(UnrevokedPartitions, 10, 10, both(list(2, 3), list(5, 6)), both(list(1), list(4))), 12, both(list(3), list(6)), free, both(list(2, 3), list(4, 5, 6)),
			is(UnrevokedPartitions, 10, 10, both(list(2, 3), list(5, 6)), both(list(1), list(4)))},
		{"unrevoked to unrevoked", is(UnrevokedPartitions, 10, 10, both(list(2, 3), list(5, 6)), both(list(1), list(4))), 12, both(list(3), list(6)), free, both(list(2, 3), list(5, 6)),
			is(UnrevokedPartitions, 10, 10, both(list(3), list(6)), both(list(2), list(5)))},
		{"unrevoked to unreleased", is(UnrevokedPartitions, 11, 10, both(list(2, 3), list(5, 6)), nil), 11, both(list(2, 3, 4), list(5, 6, 7)), taken, both(list(2, 3), list(5, 6)),
			is(UnreleasedPartitions, 11, 11, both(list(2, 3), list(5, 6)), nil)},
		{"unreleased to stable", is(UnreleasedPartitions, 11, 11, both(list(2, 3), list(5, 6)), nil), 12, both(list(2, 3), list(5, 6)), taken, nil,
			is(Stable, 12, 11, both(list(2, 3), list(5, 6)), nil)},
		{"unreleased to stable with new partitions", is(UnreleasedPartitions, 11, 11, both(list(2, 3), list(5, 6)), nil), 11, both(list(2, 3, 4), list(5, 6, 7)), free, nil,
			is(Stable, 11, 11, both(list(2, 3, 4), list(5, 6, 7)), nil)},
		{"unreleased to unreleased", is(UnreleasedPartitions, 11, 11, both(list(2, 3), list(5, 6)), nil), 11, both(list(2, 3, 4), list(5, 6, 7)), taken, nil,
			is(UnreleasedPartitions, 11, 11, both(list(2, 3), list(5, 6)), nil)},
		{"unreleased to unrevoked", is(UnreleasedPartitions, 11, 11, both(list(2, 3), list(5, 6)), nil), 12, both(list(3), list(6)), taken, nil,
			is(UnrevokedPartitions, 11, 11, both(list(3), list(6)), both(list(2), list(5)))},
		{"unknown to stable", is(UnknownState, 11, 11, both(list(3), list(6)), both(list(2), list(5))), 12, both(list(3), list(6)), taken, Assignment{},
			is(Stable, 12, 11, both(list(3), list(6)), nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := reconciliation{targetEpoch: c.epoch, target: c.target, owned: c.owned, ownedKnown: c.owned != nil,
				taken: func(id TopicID, _ int32) bool { return c.others == taken || c.others == taken2 && id == t2 }}
			got, err := r.next(&c.from)
			if err != nil || !got.at(&c.to) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, c.to)
			}
		})
	}
	r := reconciliation{targetEpoch: 12, target: both(list(3), list(6))}
	m := is(UnknownState, 11, 11, both(list(3), list(6)), nil)
	var e *Error
	if _, err := r.next(&m); !errors.As(err, &e) || e.Code != protocol.CodeFencedMemberEpoch {
		t.Errorf("a member in an unknown state goes on: %v", err)
	}
}
