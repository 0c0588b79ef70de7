package replication

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/metadata"
)

// Partition is this broker's replica of one partition. All methods may be called from
// several goroutines.
type Partition struct {
	topic   string
	index   int32
	topicID metadata.TopicID
	wheel   *wheel

	// Traffic is counted by the handlers.
	Traffic Traffic

	lead sync.RWMutex // see the package comment
	role atomic.Pointer[role]
	logs atomic.Pointer[engine.Log] // changes under lead, when the log is moved

	waiting atomic.Int32 // len(fetches)
	queued  atomic.Int32 // parked produces

	mu        sync.Mutex
	committed queue // wait for the high watermark
	synced    queue // wait for a sync, and then perhaps for the high watermark
	fetches   map[*FetchWaiter]struct{}
	ends      map[int32]int64 // log ends of followers, by their fetch offsets
}

func newPartition(topic string, index int32, id metadata.TopicID, log *engine.Log, w *wheel, self int32) *Partition {
	p := &Partition{topic: topic, index: index, topicID: id, wheel: w}
	p.logs.Store(log)
	p.role.Store(&role{self: self, leader: metadata.NoLeader, epoch: -1})
	return p
}

// Topic is the topic's name.
func (p *Partition) Topic() string { return p.topic }

// Index is the partition's number in its topic.
func (p *Partition) Index() int32 { return p.index }

// TopicID is the topic's id.
func (p *Partition) TopicID() metadata.TopicID { return p.topicID }

// Log is the partition's log, for what needs neither leadership nor epochs.
// It is closed (engine.ErrMoved) when the log is moved to another directory: ask again then.
func (p *Partition) Log() *engine.Log { return p.log() }

func (p *Partition) log() *engine.Log { return p.logs.Load() }

// LeaderEpoch is the epoch of the current leader, -1 before one is known.
func (p *Partition) LeaderEpoch() int32 { return p.role.Load().epoch }

// Leads tells whether this broker leads the partition.
func (p *Partition) Leads() bool { return p.role.Load().leads() }

// InSyncReplicas is the ids of the replicas in sync; do not write to it.
func (p *Partition) InSyncReplicas() []int32 { return p.role.Load().isr }

// settings are a topic's values that a Partition needs besides its log's.
type settings struct {
	minInSync   int32
	durable     bool
	compactOnly bool
}

// follow takes what the metadata says. A state with an older epoch than the known one is
// ignored. The caller is the Manager's worker.
func (p *Partition) follow(m *metadata.Partition, s settings) error {
	p.lead.Lock()
	old := p.role.Load()
	next := &role{
		self: old.self, leader: m.Leader, epoch: m.LeaderEpoch, epochStart: old.epochStart, replicas: m.Replicas, isr: m.ISR,
		minInSync: s.minInSync, durable: s.durable, compactOnly: s.compactOnly, gone: old.gone,
	}
	if m.LeaderEpoch < old.epoch {
		next.leader, next.epoch, next.isr = old.leader, old.epoch, old.isr
	}
	var err error
	if next.leads() && (next.epoch != old.epoch || !old.leads()) {
		next.epochStart = p.log().LogEndOffset()
		err = p.log().AssignEpochStart(next.epoch, next.epochStart) // R22: before the first append
	}
	p.role.Store(next)
	p.lead.Unlock()
	if old.leads() && !next.leads() {
		p.failAll(ErrNotLeader)
	}
	p.advance()
	if next.durable && p.log().SyncedOffset() < p.log().LogEndOffset() {
		p.log().WhenSynced(p.log().LogEndOffset(), p)
	}
	if old.leader != next.leader || old.epoch != next.epoch {
		p.wakeFetches()
	}
	return err
}

// remove ends everything that waits: the partition is gone.
func (p *Partition) remove(reason error) {
	p.lead.Lock()
	next := *p.role.Load()
	next.gone = true
	p.role.Store(&next)
	p.lead.Unlock()
	p.failAll(reason)
	p.wakeFetches()
}

// advance moves the high watermark as far as the rules allow, and with it those who wait.
func (p *Partition) advance() (moved bool) {
	r := p.role.Load()
	if !r.leads() {
		return false
	}
	if len(r.isr) == 1 && r.isr[0] == r.self {
		moved = p.raise(r.highWatermark(p.log().LogEndOffset(), p.log().SyncedOffset(), nil))
	} else {
		p.mu.Lock()
		hw := r.highWatermark(p.log().LogEndOffset(), p.log().SyncedOffset(), p.ends)
		p.mu.Unlock()
		moved = p.raise(hw)
	}
	if p.queued.Load() > 0 {
		p.complete()
	}
	if moved {
		p.wakeFetches()
	}
	return moved
}

func (p *Partition) raise(hw int64) bool { return hw >= 0 && p.log().SetHighWatermark(hw) }

// Synced implements flush.Waiter: the log tells that what was appended is durable, or never
// will be.
func (p *Partition) Synced(err error) {
	if errors.Is(err, engine.ErrMoved) {
		p.advance()
		if p.log().Failure() == nil { // else changeLog is not done yet, and asks itself
			p.waitAgain()
		}
		return
	}
	if err != nil {
		p.failSynced(err)
		p.wakeFetches()
		return
	}
	p.advance()
}

// followerAt notes how far a follower has come: its fetch offset (R1).
func (p *Partition) followerAt(replica int32, offset int64) {
	p.mu.Lock()
	if p.ends == nil {
		p.ends = map[int32]int64{}
	}
	moved := p.ends[replica] != offset
	p.ends[replica] = offset
	p.mu.Unlock()
	if moved {
		p.advance()
	}
}

// DeleteRecords moves the log start up to offset, or with -1 to the high watermark, and
// returns where it is (KIP-107). Errors: ErrNotLeader, ErrPolicyViolation,
// *engine.OffsetOutOfRangeError, and the log's.
func (p *Partition) DeleteRecords(offset int64) (logStart int64, err error) {
	r := p.role.Load()
	if err := r.access(-1); err != nil {
		return -1, err
	}
	if r.compactOnly {
		return -1, ErrPolicyViolation
	}
	p.lead.RLock() // the log that it is done to must not have been replaced
	logStart, err = p.log().DeleteRecordsBefore(offset)
	p.lead.RUnlock()
	if err == nil {
		p.wakeFetches()
	}
	return logStart, err
}
