package replication

// This file is the rules, pure: no lock, clock, goroutine or log.

// role is what the metadata says about a partition, as this broker sees it. It never
// changes; a new one takes its place.
type role struct {
	self        int32
	leader      int32
	epoch       int32
	epochStart  int64 // the log's end when this broker began to lead in this epoch
	replicas    []int32
	isr         []int32
	minInSync   int32
	durable     bool // flush.messages=1: only what is synced is shown
	compactOnly bool
	gone        bool // deleted, or no longer a replica
}

func (r *role) leads() bool { return !r.gone && r.leader == r.self }

func (r *role) isReplica(id int32) bool {
	for _, v := range r.replicas {
		if v == id {
			return true
		}
	}
	return false
}

// checkEpoch holds KIP-320: a request that knows an epoch must know the current one. -1 is
// a request that knows none.
func (r *role) checkEpoch(requested int32) error {
	switch {
	case requested < 0 || requested == r.epoch:
		return nil
	case requested < r.epoch:
		return &FencedEpochError{Requested: requested, Current: r.epoch}
	}
	return &UnknownEpochError{Requested: requested, Current: r.epoch}
}

// access checks that this broker leads in the epoch that the request knows. Kafka looks at
// the epoch first: a client with an old epoch must refresh wherever the leader is.
func (r *role) access(requested int32) error {
	switch {
	case r.gone:
		return ErrUnknownTopicOrPartition
	}
	if err := r.checkEpoch(requested); err != nil {
		return err
	}
	if !r.leads() {
		return ErrNotLeader
	}
	return nil
}

// highWatermark is the largest offset that all replicas in sync hold, of which this broker
// counts its own log by end, or by what is synced on a durable topic. ends has the log ends
// of followers; one in sync that never fetched holds it back. It returns -1 when it cannot
// move: the in-sync replicas are fewer than they must be (R2), which with as many replicas
// as there are is never the case.
func (r *role) highWatermark(end, synced int64, ends map[int32]int64) int64 {
	if int32(len(r.isr)) < min(r.minInSync, int32(len(r.replicas))) {
		return -1
	}
	hw := end
	if r.durable {
		hw = min(end, synced)
	}
	for _, id := range r.isr {
		if id == r.self {
			continue
		}
		at, ok := ends[id]
		if !ok {
			return -1
		}
		hw = min(hw, at)
	}
	return hw
}

// enough tells whether acks=all may be promised (R6).
func (r *role) enough() bool { return int32(len(r.isr)) >= r.minInSync }

// need is what a parked produce waits for: that everything below offset is below the high
// watermark, is synced, or both.
type need struct {
	offset    int64
	committed bool
	synced    bool
}

// needs decides what the acknowledgement of an append waits for. mustSync is the log's
// word that flush.messages is reached.
func needs(acks int16, lastOffset int64, mustSync bool) need {
	return need{offset: lastOffset + 1, committed: acks == -1, synced: mustSync && acks != 0}
}

// left is what is still missing at these watermarks.
func (n need) left(hw, synced int64) need {
	n.committed = n.committed && hw < n.offset
	n.synced = n.synced && synced < n.offset
	return n
}

func (n need) met() bool { return !n.committed && !n.synced }
