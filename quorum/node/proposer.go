package node

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/quorum/tree"
)

// proposer turns transactions into log entries while this server leads. One goroutine packs
// and calls Raft, so that the order in which transactions were pushed is their order in the
// log; another waits for the outcome. A transaction that finds nothing on its way goes at once;
// those that come meanwhile share the next entry, see pacer.
type proposer struct {
	n    *Node
	wake chan struct{} // something waits, or an entry arrived
	sent chan settling // entries on their way, in order

	mu      sync.Mutex
	open    bool
	closed  bool // never to be open again
	pacer   pacer
	timer   clock.Timer // calls late; nil until it was needed
	waiting []tree.Txn
	bytes   int
	room    *sync.Cond // the streams of other servers wait here for waiting to get shorter
	// proposed and settled count transactions in the order of push.
	proposed, settled uint64
	done              *sync.Cond // settled grew, or open fell
	// moved is the newest connection of each session that came back to some server: writes of
	// older ones are refused from then on.
	moved map[int64]uint32
}

// maxWaitingBytes is where the streams of other servers are read no further.
const maxWaitingBytes = 16 << 20

func newProposer(n *Node) *proposer {
	p := &proposer{n: n, wake: make(chan struct{}, 1), sent: make(chan settling, maxInFlight)}
	p.room, p.done = sync.NewCond(&p.mu), sync.NewCond(&p.mu)
	return p
}

// setOpen begins or ends the time in which transactions are taken. Those that waited are gone.
func (p *proposer) setOpen(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setOpenLocked(on)
}

// close ends it for good.
func (p *proposer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.setOpenLocked(false)
}

func (p *proposer) setOpenLocked(on bool) {
	p.open = on && !p.closed
	p.settled += uint64(len(p.waiting))
	p.waiting, p.bytes, p.moved = nil, 0, map[int64]uint32{}
	p.room.Broadcast()
	p.done.Broadcast()
}

// push adds transactions behind those that wait and tells whether they were taken.
func (p *proposer) push(txns ...tree.Txn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return false
	}
	p.pushLocked(txns)
	return true
}

// pushPaced is push for another server's stream: it waits while too much waits.
func (p *proposer) pushPaced(txns []tree.Txn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.open && p.bytes > maxWaitingBytes {
		p.room.Wait()
	}
	if !p.open {
		return false
	}
	p.pushLocked(txns)
	return true
}

func (p *proposer) pushLocked(txns []tree.Txn) {
	for i := range txns {
		p.bytes += txnBytes(&txns[i])
	}
	p.waiting = append(p.waiting, txns...)
	if len(p.moved) > 0 && !seededbug.On(seededbug.OldConnectionWrites) {
		p.refuseOld(p.waiting[len(p.waiting)-len(txns):])
	}
	p.proposed += uint64(len(txns))
	signal(p.wake)
}

// refusedSeq follows no other: the tree answers SessionMoved to it.
const refusedSeq = 1<<32 - 1

// refuseOld lets the tree refuse what comes from a connection whose session has moved on. The
// refusal goes through the log, so that the server which sent the write learns of it.
func (p *proposer) refuseOld(txns []tree.Txn) {
	for i := range txns {
		t := &txns[i]
		if t.Seq == 0 {
			continue
		}
		if gen, ok := p.moved[t.Session]; ok && t.ConnGen < gen {
			t.Seq = refusedSeq
		}
	}
}

// move makes a generation for a session's new connection, at least gen, and waits until all
// that its older ones have sent is applied or refused. False: this server leads no more.
func (p *proposer) move(session int64, gen uint32) (uint32, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return 0, false
	}
	gen = max(gen, p.moved[session]+1)
	p.moved[session] = gen
	p.flushLocked()
	return gen, p.open
}

// forget drops what is known of a session that ended.
func (p *proposer) forget(session int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.moved, session)
}

// flush waits until everything that was pushed before has been applied or lost. It tells
// whether this server still takes transactions.
func (p *proposer) flush() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flushLocked()
	return p.open
}

func (p *proposer) flushLocked() {
	for until := p.proposed; p.open && p.settled < until; {
		p.done.Wait()
	}
}

// take removes what the next entry holds, nil if none may go now.
func (p *proposer) take() []tree.Txn {
	p.mu.Lock()
	defer p.mu.Unlock()
	count, bytes := pack(p.waiting)
	if !p.pacer.mayGo(count, len(p.waiting)) {
		return nil
	}
	p.pacer.went(count, len(p.waiting))
	txns := p.waiting[:count:count]
	p.waiting = p.waiting[count:]
	if len(p.waiting) == 0 {
		p.waiting = nil
	}
	p.bytes -= bytes
	p.room.Broadcast()
	return txns
}

// run packs and proposes until the node stops.
func (p *proposer) run() {
	defer close(p.sent)
	for {
		select {
		case <-p.wake:
		case <-p.n.stop:
			return
		}
		for {
			txns := p.take()
			if txns == nil {
				break
			}
			p.sent <- settling{p.n.propose(txns), len(txns), originsOf(txns)}
		}
	}
}

// propose hands one entry to Raft. Only the proposer's goroutine calls it: entries have the
// order of their calls only if these come from one goroutine.
func (n *Node) propose(txns []tree.Txn) raft.ApplyFuture {
	size := 32
	for i := range txns {
		size += txnBytes(&txns[i])
	}
	entry := tree.BeginEntry(make([]byte, 0, size), n.clock.Now().UnixMilli())
	var one []byte
	for i := range txns {
		one = tree.AppendTxn(one[:0], &txns[i])
		n.tally.propose(len(one))
		entry = tree.PackTxn(entry, one)
	}
	tree.SealEntry(entry)
	return n.raft.Apply(entry, 0)
}

// settling is an entry on its way.
type settling struct {
	raft.ApplyFuture
	txns    int
	origins []uint64
}

// originsOf lists who sent the transactions of an entry. There are few of them, and those of one
// come together.
func originsOf(txns []tree.Txn) (origins []uint64) {
	for i := range txns {
		if o := txns[i].Origin; o != 0 && !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	return origins
}

// refusalPause is how long the news of a refused entry is held back.
const refusalPause = 5 * time.Millisecond

// settle waits for the entries in their order. One that failed may be applied later all the
// same, or never: all that hang on it are told so.
func (p *proposer) settle() {
	for f := range p.sent {
		err := f.Error()
		p.mu.Lock()
		if p.pacer.returned(f.txns, len(p.waiting)) {
			p.awaitCompany()
		}
		p.settled += uint64(f.txns)
		p.done.Broadcast()
		more := len(p.waiting) > 0
		p.mu.Unlock()
		if more {
			signal(p.wake)
		}
		if err != nil {
			// While an office is handed over Raft refuses at once, and a sink that sends again is
			// refused at once again.
			p.n.pause(refusalPause, nil)
			p.n.proposalFailed(err)
			continue
		}
		if at, ok := f.Response().(appliedAt); ok {
			p.n.heralds.committed(at, f.origins)
		}
	}
}

// awaitCompany sees to it that what waits for company does not wait for ever.
func (p *proposer) awaitCompany() {
	if p.timer == nil {
		p.timer = p.n.clock.AfterFunc(entryPatience, p.late)
	} else {
		p.timer.Reset(entryPatience)
	}
}

func (p *proposer) late() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pacer.late(len(p.waiting))
	signal(p.wake)
}

// signal wakes whoever waits on a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// proposalFailed is told that an entry may be lost. Those behind it may have got through all
// the same, so everything under way is in doubt.
func (n *Node) proposalFailed(err error) {
	n.log.Debug("a proposal failed", "error", err)
	n.streams.closeAll()
	n.writesLost()
}
