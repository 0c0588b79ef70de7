package node

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// A server's name in Raft is its number. One that finds the ensemble alive while its own stores
// are empty may have voted before it lost them, so it takes a name that never voted: the number
// and a random incarnation, "3.0a1b2c3d". It joins as an observer, and the leader takes the old
// name's vote away before it gives the new one a vote. That goes for a server that is merely
// late for the first start as well: nobody can tell the two apart.
//
// All are empty at the very first start. Then each one that finds a majority empty, itself
// included, writes the same first configuration. A server counts as empty until it has taken
// part in an election. So a wiped minority joins, and only a wiped majority is taken for a new
// ensemble, as in ZooKeeper.

// nameKey is where a server keeps its name.
var nameKey = []byte("millrace.server")

// loadName reads the name that this server has, "" if it has none yet.
func loadName(stable raft.StableStore, myID int, old bool) (raft.ServerID, error) {
	b, err := stable.Get(nameKey)
	if err != nil && err.Error() != "not found" {
		return "", fmt.Errorf("read this server's name: %w", err)
	}
	name := raft.ServerID(b)
	if name == "" && old {
		name = plainName(myID)
	}
	if name != "" && myIDOf(name) != myID {
		return "", fmt.Errorf("the data belongs to server %d, but myid is %d: give this server its own data directory, or the other number", myIDOf(name), myID)
	}
	return name, nil
}

func plainName(id int) raft.ServerID { return raft.ServerID(fmt.Sprint(id)) }

func (n *Node) newIncarnation() raft.ServerID {
	return raft.ServerID(fmt.Sprintf("%d.%08x", n.opt.MyID, uint32(n.randomUint64())))
}

// firstConfiguration is what every founder writes.
func firstConfiguration(servers []zoocfg.Server, alone int) raft.Configuration {
	var c raft.Configuration
	add := func(id int) {
		name := plainName(id)
		c.Servers = append(c.Servers, raft.Server{ID: name, Address: raft.ServerAddress(name)})
	}
	if len(servers) == 0 {
		add(alone)
		return c
	}
	ids := make([]int, 0, len(servers))
	for _, s := range servers {
		if !s.Observer {
			ids = append(ids, int(s.ID))
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		add(id)
	}
	return c
}

// lookAround decides what a server with empty stores and no name is. It may wait for others; only
// the node's end makes it return without an answer.
func (n *Node) lookAround() (name raft.ServerID, first *raft.Configuration) {
	conf := firstConfiguration(n.opt.Servers, n.opt.MyID)
	votes := slices.ContainsFunc(conf.Servers, func(s raft.Server) bool { return s.ID == plainName(n.opt.MyID) })
	if votes && len(conf.Servers) == 1 {
		return plainName(n.opt.MyID), &conf
	}
	told, waits := false, false
	for !n.isStopped() {
		empty := 0
		if votes {
			empty = 1
		}
		answers := n.probeAll()
		for id, a := range answers {
			if a.member {
				n.log.Info("the ensemble lives, and this server has no data: it joins anew", "told by", id)
				if seededbug.On(seededbug.WipedServerIsItself) {
					return plainName(n.opt.MyID), &conf
				}
				return n.newIncarnation(), nil
			}
			if a.list != listHash(n.opt.Servers) {
				if !told {
					n.log.Warn("another server has another list of servers in its configuration", "server", id)
				}
				told = true
				continue
			}
			if slices.ContainsFunc(conf.Servers, func(s raft.Server) bool { return s.ID == plainName(id) }) {
				empty++
			}
		}
		if empty > len(conf.Servers)/2 {
			if !votes {
				return n.newIncarnation(), nil
			}
			return plainName(n.opt.MyID), &conf
		}
		if !waits {
			n.log.Info("there is no ensemble yet: this server waits for the others", "empty", empty, "needed", len(conf.Servers)/2+1)
			waits = true
		}
		n.pause(probeInterval, nil)
	}
	return "", nil
}

const (
	// probeInterval is the pause in which a server without an ensemble looks for one.
	probeInterval = 50 * time.Millisecond
	acceptRetry   = 20 * time.Millisecond
)

// probed is what a server tells anybody.
type probed struct {
	member bool   // it has taken part in an election
	list   uint64 // listHash of its file
	leader raft.ServerID
}

// listHash tells lists of servers apart.
func listHash(servers []zoocfg.Server) uint64 {
	h := fnv.New64a()
	for _, s := range firstConfiguration(servers, 0).Servers {
		h.Write([]byte(s.ID))
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// serveProbe answers a probe.
func (n *Node) serveProbe(conn net.Conn) error {
	var p probed
	p.list = listHash(n.opt.Servers)
	switch {
	case n.isUp():
		p.member = n.raft.LastIndex() > 1 || n.raft.CurrentTerm() > 1 || n.applied.Load() > 0
		_, p.leader = n.raft.LeaderWithID()
	case n.old:
		return n.refuse(conn, ErrNotServing) // it will know in a moment
	}
	b := append(appendFrame(nil, frameProbed), 0)
	if p.member {
		b[len(b)-1] = 1
	}
	b = binary.BigEndian.AppendUint64(b, p.list)
	b = append(append(b, byte(len(p.leader))), p.leader...)
	_ = conn.SetWriteDeadline(n.clock.Now().Add(prefaceTimeout))
	_, err := conn.Write(endFrame(b, 0))
	return err
}

// probeAll asks all other servers at once; those that do not answer are not in the result.
func (n *Node) probeAll() map[int]probed {
	var mu sync.Mutex
	answers := map[int]probed{}
	var all sync.WaitGroup
	ids := map[int]bool{}
	for _, s := range append(slices.Clone(n.opt.Servers), n.wanted()...) {
		ids[int(s.ID)] = true
	}
	delete(ids, n.opt.MyID)
	for id := range ids {
		all.Go(func() {
			p, err := n.probe(id)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[id] = p
		})
	}
	all.Wait()
	return answers
}

func (n *Node) probe(id int) (p probed, err error) {
	b, err := n.question(fmt.Sprint(id), true, endFrame(appendFrame(nil, frameProbe), 0), frameProbed)
	if err != nil {
		return p, err
	}
	p.member = b.uint8() == 1
	p.list = b.uint64()
	p.leader = raft.ServerID(b.name())
	return p, b.err()
}

// question sends one frame to a server over a connection of its own and returns the body of its
// answer, which must be of the wanted type.
func (n *Node) question(to string, any bool, frame []byte, want frameType) (*body, error) {
	conn, err := n.dialPeer(n.ctx, portRPC, to, any)
	if err != nil {
		return nil, err
	}
	if !n.rpcConns.add(conn) {
		return nil, ErrClosed
	}
	defer n.rpcConns.remove(conn)
	defer conn.Close()
	_ = conn.SetDeadline(n.clock.Now().Add(n.opt.initTimeout()))
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	frames := frameReader{r: bufio.NewReader(conn), max: smallFrame}
	t, b, err := frames.next()
	if err != nil {
		return nil, err
	}
	answer := newBody(b)
	if t == frameRefuse {
		if err := answer.error(); err != nil {
			return nil, err
		}
	}
	if t != want {
		return nil, errFrame
	}
	return answer, nil
}

// join makes this server a member while it is none: it asks the leader, whoever that is. A
// server that the ensemble has not agreed on goes on telling each new leader where it is.
//
// One that is removed while it runs stays out until it is started again.
func (n *Node) join() {
	over := make(chan struct{})
	told := raft.ServerID("")
	n.every(over, func() time.Duration {
		switch wanted := n.isWanted(); {
		case n.isMember(n.me()) && (wanted || n.isLinked()):
			return n.opt.TickTime
		case !wanted && n.wasWanted.Load():
			n.log.Warn("this server was removed from the ensemble: stop it, or start it anew to have it observe")
			close(over)
			return n.opt.TickTime
		}
		self, _ := n.addressOf(n.opt.MyID)
		frame := endFrame(append(appendFrame(nil, frameJoin), self.String()...), 0)
		for _, p := range n.probeAll() {
			if p.leader == "" || p.leader == n.me() {
				continue
			}
			if _, err := n.question(string(p.leader), false, frame, frameJoined); err != nil {
				n.log.Debug("no way in yet", "leader", p.leader, "error", err)
				continue
			}
			if told != p.leader {
				n.log.Info("the leader knows this server", "leader", p.leader, "name", n.me())
			}
			told = p.leader
			return n.opt.reportInterval()
		}
		return n.opt.reportInterval()
	})
}

// isWanted tells whether the ensemble agreed on this server.
func (n *Node) isWanted() bool {
	a := n.agreed.Load()
	return a != nil && slices.ContainsFunc(a.servers, func(s zoocfg.Server) bool { return s.ID == int64(n.opt.MyID) })
}

// isLinked tells whether this server has its way to the leader, or leads.
func (n *Node) isLinked() bool {
	r, l, _ := n.office.look()
	return r != nil || l != nil
}

// maxStrangers bounds the names without a vote that nobody asked for.
const maxStrangers = 16

// serveJoin takes a server in as an observer; the reign gives it its vote later.
func (n *Node) serveJoin(conn net.Conn, from raft.ServerID, b *body) error {
	r := n.reign.Load()
	if r == nil {
		return n.refuse(conn, ErrNotLeader)
	}
	where, err := zoocfg.ParseServerLine(string(b.rest()))
	if err != nil || where.ID != int64(myIDOf(from)) {
		return n.refuse(conn, errFrame)
	}
	n.strangers.Store(myIDOf(from), where)
	if !n.isMember(from) {
		if err := r.admit(from); err != nil {
			return n.refuse(conn, err)
		}
	}
	_, err = conn.Write(endFrame(appendFrame(nil, frameJoined), 0))
	return err
}

func (r *reign) admit(name raft.ServerID) error {
	n := r.n
	strangers := 0
	for _, s := range n.configuration().Servers {
		if s.Suffrage != raft.Voter {
			strangers++
		}
	}
	if strangers >= maxStrangers+len(n.wanted()) {
		return fmt.Errorf("server %s may not join: %d servers without a vote are members already", name, strangers)
	}
	if strings.ContainsFunc(string(name), func(c rune) bool { return c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'f') }) {
		return errFrame
	}
	for _, s := range n.configuration().Servers {
		if myIDOf(s.ID) == myIDOf(name) && r.ready(s.ID) {
			return fmt.Errorf("server %d is there already, as %s: two servers have the same myid", myIDOf(name), s.ID)
		}
	}
	if !n.ask() {
		return ErrClosed
	}
	defer n.asking.Done()
	n.log.Info("a server joins", "server", name)
	return n.raft.AddNonvoter(name, raft.ServerAddress(name), 0, 0).Error()
}
