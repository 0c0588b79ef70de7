package replication

import (
	"sync"
	"time"

	"github.com/millrace/millrace/engine"
)

// moves takes logs to other log directories, a few at a time, while their partitions serve
// (KIP-113). What waits is asked for again from the beginning after a restart.
type moves struct {
	m *Manager

	mu      sync.Mutex
	wanted  map[engine.TopicPartition]*moving
	queue   []*moving // that no goroutine works on yet
	running int
	closed  bool
	free    time.Time // when the pace allows the next piece
	wg      sync.WaitGroup
}

func newMoves(m *Manager) *moves {
	return &moves{m: m, wanted: make(map[engine.TopicPartition]*moving)}
}

// moving is one log that is to go to dir.
type moving struct {
	tp  engine.TopicPartition
	dir string
	// stop is closed under moves.mu: somebody wants the log elsewhere, or the broker stops.
	stop    chan struct{}
	stopped bool
}

// end is called under moves.mu.
func (w *moving) end() {
	if !w.stopped {
		w.stopped = true
		close(w.stop)
	}
}

// MoveLog takes the log of a partition to another log directory. It returns when that was
// begun, or is waiting for its turn; DescribeLogDirs tells how far it is. The directory that
// the log lies in ends a move that is under way. Errors: ErrUnknownTopicOrPartition,
// ErrNotLeader for a partition that lies on other brokers, ErrOffline,
// *engine.UnknownDirError, *engine.DirFailedError.
func (m *Manager) MoveLog(topic string, partition int32, dir string) error {
	if err := m.o.Store.MoveTarget(dir); err != nil {
		return err
	}
	p, err := m.Get(topic, partition)
	if err != nil {
		return err
	}
	log, ok := m.o.Store.Get(p.Log().TopicPartition()) // not the partition's, which may just have been moved
	if !ok {
		return ErrUnknownTopicOrPartition
	}
	if err := log.Failure(); err != nil {
		return err
	}
	return m.moves.want(log.TopicPartition(), dir, log.LogDir())
}

// WaitingMove is a move that has its turn later.
type WaitingMove struct {
	TopicPartition engine.TopicPartition
	Dir            string
}

// WaitingMoves lists the moves that wait for others to be done; those under way are listed
// by the Store.
func (m *Manager) WaitingMoves() []WaitingMove {
	m.moves.mu.Lock()
	defer m.moves.mu.Unlock()
	var list []WaitingMove
	for _, w := range m.moves.queue {
		if !w.stopped {
			list = append(list, WaitingMove{w.tp, w.dir})
		}
	}
	return list
}

// want notes where a log is to be; now is where it is.
func (v *moves) want(tp engine.TopicPartition, dir, now string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return ErrClosed
	}
	if w := v.wanted[tp]; w != nil {
		if w.dir == dir {
			return nil
		}
		w.end()
		delete(v.wanted, tp)
	}
	if dir == now {
		return nil
	}
	w := &moving{tp: tp, dir: dir, stop: make(chan struct{})}
	v.wanted[tp] = w
	v.queue = append(v.queue, w)
	// As Kafka's num.replica.alter.log.dirs.threads: one a directory.
	if v.running < max(len(v.m.o.Store.Dirs()), 1) {
		v.running++
		v.wg.Go(v.work)
	}
	return nil
}

// work is a goroutine that moves logs as long as there are any.
func (v *moves) work() {
	for {
		v.mu.Lock()
		if len(v.queue) == 0 || v.closed {
			v.running--
			v.mu.Unlock()
			return
		}
		w := v.queue[0]
		v.queue = v.queue[1:]
		v.mu.Unlock()
		if !v.stopped(w) {
			v.move(w)
		}
		v.mu.Lock()
		if v.wanted[w.tp] == w {
			delete(v.wanted, w.tp)
		}
		v.mu.Unlock()
	}
}

func (v *moves) stopped(w *moving) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return w.stopped || v.closed
}

// pace waits until the next piece may be copied after one of so many bytes.
func (v *moves) pace(w *moving, bytes int) {
	if v.m.o.MoveBytesPerSecond == nil {
		return
	}
	rate := v.m.o.MoveBytesPerSecond()
	if rate <= 0 || bytes == 0 {
		return
	}
	cost := time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
	v.mu.Lock()
	now := v.m.o.Clock.Now()
	if v.free.Before(now) {
		v.free = now
	}
	v.free = v.free.Add(cost)
	wait := v.free.Sub(now)
	v.mu.Unlock()
	const worthwhile = time.Millisecond
	if wait < worthwhile {
		return
	}
	over := make(chan struct{})
	t := v.m.o.Clock.AfterFunc(wait, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
	case <-w.stop:
	}
}

func (v *moves) isClosed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closed
}

// move takes one log to its place.
func (v *moves) move(w *moving) {
	log := v.m.o.Log.With("partition", w.tp.String(), "to", w.dir)
	mv, err := v.m.o.Store.BeginMove(w.tp, w.dir)
	if err != nil {
		log.Warn("log is not moved", "err", err)
		return
	}
	log.Info("moving log to another directory")
	next := func(bytes int) bool {
		v.pace(w, bytes)
		return !v.stopped(w)
	}
	if err = mv.Copy(next); err == nil {
		err = v.finish(w, mv)
	}
	switch {
	case err == nil:
		log.Info("log was moved")
	case v.isClosed():
		mv.Leave()
	default:
		mv.Abort()
		if !v.stopped(w) {
			log.Warn("log was not moved", "err", err)
		}
	}
}

// finish lets the partition use its new log.
func (v *moves) finish(w *moving, mv *engine.Move) error {
	p, err := v.m.Get(w.tp.Topic, w.tp.Partition)
	if err != nil {
		return err
	}
	return p.changeLog(mv.Finish)
}

// close stops the moves and waits for their goroutines.
func (v *moves) close() {
	v.mu.Lock()
	v.closed = true
	for _, w := range v.wanted {
		w.end()
	}
	v.mu.Unlock()
	v.wg.Wait()
}

// resume begins the moves anew that the last stop interrupted.
func (m *Manager) resumeMoves() {
	for _, i := range m.o.Store.InterruptedMoves() {
		if err := m.MoveLog(i.TopicPartition.Topic, i.TopicPartition.Partition, i.Dir); err != nil {
			m.o.Log.Warn("a move that was interrupted is not begun anew", "partition", i.TopicPartition.String(), "to", i.Dir, "err", err)
		}
	}
}

// changeLog lets change replace the partition's log. Appends wait meanwhile; what waits for
// the old log goes on with the new one.
func (p *Partition) changeLog(change func() (*engine.Log, error)) error {
	p.lead.Lock()
	if p.role.Load().gone {
		p.lead.Unlock()
		return ErrUnknownTopicOrPartition
	}
	log, err := change()
	if err == nil {
		p.logs.Store(log)
	}
	p.lead.Unlock()
	if err == nil {
		p.advance()
		p.waitAgain()
		p.wakeFetches()
	}
	return err
}

// waitAgain asks the log for the syncs that somebody waits for: those who asked the log that
// was here before are told ErrMoved.
func (p *Partition) waitAgain() {
	p.mu.Lock()
	var need []int64
	for _, e := range p.synced.list {
		need = append(need, e.need.offset)
	}
	p.mu.Unlock()
	if p.role.Load().durable {
		need = append(need, p.log().LogEndOffset())
	}
	for _, offset := range need {
		p.log().WhenSynced(offset, p)
	}
}

// setConfig gives the log that is in force its settings.
func (p *Partition) setConfig(c engine.Config) {
	p.lead.RLock()
	defer p.lead.RUnlock()
	p.log().SetConfig(c)
}
