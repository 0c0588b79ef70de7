package node

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/quorum/tree"
)

// Node is one member of the ensemble.
//
// Locks, in the order in which they are taken: sinkMu, mu, then the leaves (those of route,
// proposer, reign, gate, touches, ids), of which route's may be held over proposer's.
type Node struct {
	opt   Options
	log   *slog.Logger
	clock clock.Clock
	begun time.Time // when Start was called

	// What is set before up is closed, and not changed any more.
	up      chan struct{}
	raft    *raft.Raft
	trans   transport
	heralds *heralds // nil on a server that stands alone

	name     atomic.Pointer[raft.ServerID] // nil until this server knows who it is
	fuse     *fuse
	guard    *guardedLog
	logs     raft.LogStore // guard, as Raft has it
	tracks   bool
	old      bool // the stores were not empty at the start
	stable   raft.StableStore
	listener net.Listener // of the quorum port, until Raft has it
	rpc      net.Listener
	rpcConns connSet

	// sinkMu is held while sinks are told something; it guards handles.
	sinkMu  sync.Mutex
	handles []*Handle
	serving atomic.Bool // written under sinkMu

	// mu guards the tree; writers are Raft's state machine goroutine only.
	mu       sync.RWMutex
	state    *tree.State
	broken   bool // an entry could not be applied: nothing is any more
	diverged bool
	outcome  func(*tree.Outcome) // told, made once
	applied  atomic.Uint64       // index of the last entry that reached the tree
	zxid     atomic.Int64
	secret   atomic.Pointer[[]byte]

	vain int // snapshots in a row that brought nothing; under mu
	mine int // transactions of this server's sinks in the batch that is applied; under mu

	logBytes          atomic.Int64 // applied since the last snapshot, as logEntries
	logEntries        atomic.Int64
	lastSnapshotBytes atomic.Int64
	snapshotZxid      atomic.Pointer[int64] // nil: there is none

	ids       sessionIDs
	touches   touchSet
	tally     tally
	route     route
	proposer  *proposer
	reign     atomic.Pointer[reign]  // while this server leads
	agreed    atomic.Pointer[agreed] // written under mu
	wasWanted atomic.Bool            // the ensemble agreed on this server since it was started
	office    leadership
	streams   streams
	// strangers are servers that joined before anybody agreed on them: where they live, by number.
	strangers sync.Map

	gateMu   sync.Mutex
	gate     gate
	gateWake chan struct{}
	progress chan struct{} // closed when the tree gets further; nil if nobody waits

	leaderWake chan struct{} // Raft may know another leader

	randMu sync.Mutex

	ctx    context.Context // ends when the node is to end
	cancel context.CancelFunc
	// asking counts those who wait for Raft's answers. Raft gives none to what it did not look at
	// before it was stopped, so it is stopped after them. Nobody comes in when closing is set.
	askMu   sync.Mutex
	closing bool
	asking  sync.WaitGroup

	stop     chan struct{} // closed when the node is to end
	stopOnce sync.Once
	err      error         // why; written before stop is closed
	launched chan struct{} // closed when up is closed or never will be
	done     chan struct{}
	tasks    sync.WaitGroup
}

// Start brings a member up. It returns when the member runs, which is before it serves: the
// sinks are told of that. ctx bounds the start only.
func Start(ctx context.Context, opt Options) (*Node, error) {
	if err := opt.withDefaults(); err != nil {
		return nil, err
	}
	n := &Node{
		opt: opt, log: opt.Log, clock: opt.Clock, begun: opt.Clock.Now(), state: tree.New(),
		gate: gate{limit: opt.syncTimeout()}, gateWake: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}), up: make(chan struct{}), launched: make(chan struct{}),
		leaderWake: make(chan struct{}, 1),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.fuse = newFuse(n.cutOff)
	n.outcome = n.told
	n.route.clock, n.route.wake = opt.Clock, make(chan struct{}, 1)
	n.ids.next = firstSessionID(opt.MyID, opt.Clock.Now().UnixMilli())
	n.proposer = newProposer(n)
	if err := n.begin(ctx); err != nil {
		n.end(err)
		return nil, n.Wait()
	}
	return n, nil
}

// steady is a time that steps of the machine's clock do not move: sessions must not end because
// somebody sets it. As ZooKeeper's Time.currentElapsedTime.
func (n *Node) steady() time.Time {
	if seededbug.On(seededbug.ExpiryByWallClock) {
		return n.clock.Now()
	}
	return n.begun.Add(clock.Since(n.clock, n.begun))
}

// run starts f as a goroutine that Close waits for.
func (n *Node) run(f func()) { n.tasks.Go(f) }

// ask lets the caller wait for an answer of Raft's until it calls done. False: the node ends.
func (n *Node) ask() (ok bool) {
	n.askMu.Lock()
	defer n.askMu.Unlock()
	if !n.closing {
		n.asking.Add(1)
	}
	return !n.closing
}

// runAsking is run for what waits for Raft's answers.
func (n *Node) runAsking(f func()) {
	if n.ask() {
		n.run(func() {
			defer n.asking.Done()
			f()
		})
	}
}

// cutOff is what the fuse does: nothing may leave this server any more.
func (n *Node) cutOff(err error) {
	n.trans.sever()
	n.rpcConns.closeAll()
	n.fail(err)
}

// fail ends the node because of err, without waiting for the end.
func (n *Node) fail(err error) { n.end(err) }

func (n *Node) end(err error) {
	n.stopOnce.Do(func() {
		if err != nil {
			n.log.Error("the quorum ends", "error", err)
		}
		n.askMu.Lock()
		n.closing = true
		n.askMu.Unlock()
		n.err = err
		close(n.stop)
		n.cancel()
		go n.shutDown()
	})
}

// Close ends the node and waits until nothing of it is left. A leader hands over first, so that
// the others need not find out that it is gone.
func (n *Node) Close() error {
	if n.reign.Load() != nil && n.streams.count() > 0 {
		if err := n.transfer(); err != nil {
			n.log.Debug("nobody took over", "error", err)
		}
	}
	n.end(nil)
	<-n.done
	return n.err
}

// Done is closed when the node has ended, by Close or by an error.
func (n *Node) Done() <-chan struct{} { return n.done }

// Wait returns when the node has ended, with why: nil after Close, else one of this package's
// errors.
func (n *Node) Wait() error {
	<-n.done
	return n.err
}

func (n *Node) isStopped() bool {
	select {
	case <-n.stop:
		return true
	default:
		return false
	}
}

// shutDown ends everything in an order in which nothing waits for what is gone.
func (n *Node) shutDown() {
	n.setServing(false)
	n.proposer.close()
	if n.rpc != nil {
		_ = n.rpc.Close()
	}
	n.rpcConns.closeAll()
	<-n.launched
	if n.isUp() {
		n.asking.Wait()
		n.trans.sever() // Raft waits for calls under way, which now fail
		_ = n.raft.Shutdown().Error()
	} else if n.listener != nil {
		_ = n.listener.Close()
	}
	n.tasks.Wait()
	close(n.done)
}

// me is this server's name in Raft, "" while it does not know it.
func (n *Node) me() raft.ServerID {
	if name := n.name.Load(); name != nil {
		return *name
	}
	return ""
}

// isUp tells whether Raft runs. Before, this server looks for the others.
func (n *Node) isUp() bool {
	select {
	case <-n.up:
		return true
	default:
		return false
	}
}

// gateChange tells the gate something and lets it be asked anew.
func (n *Node) gateChange(f func(g *gate, now time.Time)) {
	n.gateMu.Lock()
	f(&n.gate, n.clock.Now())
	n.gateMu.Unlock()
	signal(n.gateWake)
}

// advanced is told how far the tree got.
func (n *Node) advanced(index uint64) {
	n.gateMu.Lock()
	changed := n.gate.advance(index)
	if n.progress != nil {
		close(n.progress)
		n.progress = nil
	}
	n.gateMu.Unlock()
	if changed {
		signal(n.gateWake)
	}
}

// keepGate opens and shuts the gate.
func (n *Node) keepGate() {
	for {
		n.gateMu.Lock()
		now := n.clock.Now()
		serves, next := n.gate.serves(now), n.gate.next(now)
		n.gateMu.Unlock()
		if !n.isStopped() {
			n.setServing(serves)
		}
		if !n.pause(next, n.gateWake) {
			return
		}
	}
}

// pause waits for d (0: for ever), or until wake says something. It returns false when the
// node stops.
func (n *Node) pause(d time.Duration, wake <-chan struct{}) bool {
	var due chan struct{}
	if d > 0 {
		due = make(chan struct{})
		timer := n.clock.AfterFunc(d, func() { close(due) })
		defer timer.Stop()
	}
	select {
	case <-due:
	case <-wake:
	case <-n.stop:
		return false
	}
	return true
}

// every calls f, and again after the time that it returns, until over or the node's end.
func (n *Node) every(over <-chan struct{}, f func() time.Duration) {
	for {
		d := f()
		if !n.pause(d, over) {
			return
		}
		select {
		case <-over:
			return
		default:
		}
	}
}

func (n *Node) readRandom(p []byte) {
	n.randMu.Lock()
	defer n.randMu.Unlock()
	if _, err := io.ReadFull(n.opt.Rand, p); err != nil {
		// crypto/rand does not fail; a test's source may end. Zeros keep the server going, and
		// whatever has to be unique is checked elsewhere too.
		n.log.Error("the source of randomness failed", "error", err)
	}
}

func (n *Node) randomUint64() uint64 {
	var b [8]byte
	n.readRandom(b[:])
	return binary.LittleEndian.Uint64(b[:])
}
