package replication

import (
	"errors"
	"testing"
)

func TestHighWatermarkRule(t *testing.T) {
	for _, test := range []struct {
		name        string
		role        role
		end, synced int64
		ends        map[int32]int64
		want        int64
	}{
		{"one replica: the log's end", role{isr: []int32{1}, replicas: []int32{1}, minInSync: 1}, 9, 4, nil, 9},
		{"durable: what is synced", role{isr: []int32{1}, replicas: []int32{1}, minInSync: 1, durable: true}, 9, 4, nil, 4},
		{"durable and all synced", role{isr: []int32{1}, replicas: []int32{1}, minInSync: 1, durable: true}, 9, 12, nil, 9},
		{"the slowest in sync", role{isr: []int32{1, 2, 3}, replicas: []int32{1, 2, 3}, minInSync: 1}, 9, 0, map[int32]int64{2: 5, 3: 7}, 5},
		{"one out of sync does not count", role{isr: []int32{1, 3}, replicas: []int32{1, 2, 3}, minInSync: 1}, 9, 0, map[int32]int64{2: 5, 3: 7}, 7},
		{"one that never fetched", role{isr: []int32{1, 2}, replicas: []int32{1, 2}, minInSync: 1}, 9, 0, nil, -1},
		{"durable and a follower ahead", role{isr: []int32{1, 2}, replicas: []int32{1, 2}, minInSync: 1, durable: true}, 9, 4, map[int32]int64{2: 9}, 4},
		{"fewer in sync than asked for (R2)", role{isr: []int32{1}, replicas: []int32{1, 2}, minInSync: 2}, 9, 9, nil, -1},
		{"more asked for than there are", role{isr: []int32{1}, replicas: []int32{1}, minInSync: 2}, 9, 9, nil, 9},
	} {
		test.role.self = 1
		if got := test.role.highWatermark(test.end, test.synced, test.ends); got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, got, test.want)
		}
	}
}

func TestAccessRule(t *testing.T) {
	leader := role{self: 1, leader: 1, epoch: 5}
	other := role{self: 1, leader: 2, epoch: 5}
	gone := role{self: 1, leader: 1, epoch: 5, gone: true}
	fenced, unknown := &FencedEpochError{4, 5}, &UnknownEpochError{6, 5}
	for _, test := range []struct {
		role  role
		epoch int32
		want  error
	}{
		{leader, -1, nil}, {leader, 5, nil}, {leader, 4, fenced}, {leader, 6, unknown},
		{other, -1, ErrNotLeader}, {other, 5, ErrNotLeader}, {other, 4, fenced}, {other, 6, unknown},
		{gone, -1, ErrUnknownTopicOrPartition}, {gone, 4, ErrUnknownTopicOrPartition},
	} {
		got := test.role.access(test.epoch)
		if test.want == nil && got != nil || test.want != nil && (got == nil || got.Error() != test.want.Error()) {
			t.Errorf("%+v, epoch %d: got %v, want %v", test.role, test.epoch, got, test.want)
		}
	}
	var f *FencedEpochError
	if !errors.As(leader.access(4), &f) || f.Current != 5 {
		t.Error("the error tells the current epoch")
	}
}

func TestNeeds(t *testing.T) {
	for _, test := range []struct {
		acks       int16
		mustSync   bool
		hw, synced int64
		met        bool
	}{
		{1, false, 0, 0, true}, {0, true, 0, 0, true}, {-1, false, 9, 0, false}, {-1, false, 10, 0, true},
		{1, true, 10, 9, false}, {1, true, 0, 10, true}, {-1, true, 10, 9, false}, {-1, true, 9, 10, false}, {-1, true, 10, 10, true},
	} {
		if got := needs(test.acks, 9, test.mustSync).left(test.hw, test.synced).met(); got != test.met {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}
