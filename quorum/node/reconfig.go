package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/tree"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// Change is a change of the ensemble as ZooKeeper's reconfig asks for it: either who joins
// (server.N=... separated by commas) and who leaves (numbers separated by commas), or the whole
// new list of Members. Joining a server that is there already changes it.
type Change struct {
	Joining, Leaving, Members string
	// FromVersion is the version of the configuration that the change was made for; -1: any.
	FromVersion int64
}

// Reconfig changes the ensemble. The new list is agreed on first, and written to
// /zookeeper/config; then Raft's configuration follows: who joins must be running and have
// caught up before it gets a vote. Reconfig returns when all that can be done now is done and
// the new list is applied on this server. The errors are ZooKeeper's: jute.BadArguments, BadVersion, NewConfigNoQuorum (not enough of the
// new voters are there), ReconfigInProgress (an earlier change is not finished), Unimplemented
// (this server stands alone).
func (n *Node) Reconfig(ctx context.Context, c Change) error {
	if len(n.opt.Servers) == 0 {
		return jute.Unimplemented
	}
	before := n.agreed.Load()
	err := n.askReconfig(ctx, c)
	if !errors.Is(err, ErrNotServing) || before == nil {
		return err
	}
	// The way to the leader broke, as it must when the leader itself is to leave: the change is
	// made if the successor knows it.
	list, bad := change(before.servers, c)
	if bad != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*n.opt.TickTime)
	defer cancel()
	if _, _, lost := n.find(ctx); lost != nil {
		return err
	}
	for slices.Equal(n.wanted(), before.servers) {
		if n.awaitApplied(ctx, n.applied.Load()+1) != nil {
			return err
		}
	}
	if !slices.Equal(n.wanted(), list) {
		return err
	}
	return nil
}

func (n *Node) askReconfig(ctx context.Context, c Change) error {
	r, l, err := n.find(ctx)
	if err != nil {
		return err
	}
	if r != nil {
		if err := r.reconfig(ctx, c); err != nil {
			return err
		}
		n.awaitSuccessor(ctx, r)
		return nil
	}
	answer, err := l.call(ctx, callReconfig, c.appendTo(nil))
	if err != nil {
		return err
	}
	b := newBody(answer)
	index := b.uint64()
	if err := b.err(); err != nil {
		return err
	}
	return n.awaitApplied(ctx, index)
}

// awaitSuccessor waits, after a change that takes this leader's vote, until another one leads:
// what the client does next finds its way.
func (n *Node) awaitSuccessor(ctx context.Context, r *reign) {
	if slices.ContainsFunc(n.wanted(), func(s zoocfg.Server) bool { return s.ID == int64(n.opt.MyID) && !s.Observer }) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*n.opt.TickTime)
	defer cancel()
	for {
		now, l, changed := n.office.look()
		if now != r && (now != nil || l != nil) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-n.stop:
			return
		}
	}
}

func (c *Change) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.FromVersion))
	for _, text := range []string{c.Joining, c.Leaving, c.Members} {
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(text))), text...)
	}
	return dst
}

func readChange(b *body) Change {
	c := Change{FromVersion: int64(b.uint64())}
	for _, text := range []*string{&c.Joining, &c.Leaving, &c.Members} {
		size := int64(b.uint32())
		if size > int64(len(b.b)) {
			b.ok = false
			return c
		}
		*text = string(b.b[:size])
		b.b = b.b[size:]
	}
	return c
}

// change computes the list that a change leads to. It is pure. Errors wrap jute.BadArguments.
func change(now []zoocfg.Server, c Change) ([]zoocfg.Server, error) {
	if c.Members != "" {
		if c.Joining != "" || c.Leaving != "" {
			return nil, badChange("either the members, or who joins and leaves")
		}
		servers, _, err := zoocfg.ParseServers(strings.ReplaceAll(c.Members, ",", "\n"))
		if err != nil {
			return nil, badChange("%v", err)
		}
		return checkList(servers)
	}
	list := slices.Clone(now)
	for _, text := range split(c.Leaving) {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, badChange("%q is no number of a server", text)
		}
		list = slices.DeleteFunc(list, func(s zoocfg.Server) bool { return s.ID == id })
	}
	for _, text := range split(c.Joining) {
		s, err := zoocfg.ParseServerLine(text)
		if err != nil {
			return nil, badChange("%v", err)
		}
		list = slices.DeleteFunc(list, func(o zoocfg.Server) bool { return o.ID == s.ID })
		list = append(list, s)
	}
	return checkList(list)
}

func split(text string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(text, func(c rune) bool { return c == ',' || c == '\n' }),
		func(s string) bool { return strings.TrimSpace(s) == "" })
}

func badChange(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{jute.BadArguments}, args...)...)
}

// checkList refuses a list that cannot be an ensemble.
func checkList(list []zoocfg.Server) ([]zoocfg.Server, error) {
	slices.SortFunc(list, func(a, b zoocfg.Server) int { return int(a.ID - b.ID) })
	voters := 0
	where := map[string]int64{}
	for i, s := range list {
		if i > 0 && list[i-1].ID == s.ID {
			return nil, badChange("server.%d is there twice", s.ID)
		}
		for _, addr := range []string{s.PeerAddress(), s.ElectionAddress()} {
			if other, taken := where[addr]; taken {
				return nil, badChange("server.%d and server.%d have the same address %s", other, s.ID, addr)
			}
			where[addr] = s.ID
		}
		if !s.Observer {
			voters++
		}
	}
	if voters == 0 {
		return nil, badChange("nobody would have a vote")
	}
	return list, nil
}

// reconfig is the leader's part of Reconfig.
func (r *reign) reconfig(ctx context.Context, c Change) error {
	n := r.n
	select {
	case r.changing <- struct{}{}:
		defer func() { <-r.changing }()
	case <-r.over:
		return ErrNotServing
	case <-ctx.Done():
		return ctx.Err()
	}
	for ctx.Err() == nil && !r.isOver() && r.reconcile() {
		// What an earlier change left to a new leader comes first.
	}
	now := n.agreed.Load()
	if now == nil {
		return jute.ReconfigInProgress
	}
	if c.FromVersion != -1 && c.FromVersion != now.version {
		return jute.BadVersion
	}
	list, err := change(now.servers, c)
	if err != nil {
		n.log.Info("a change of the ensemble was refused", "error", err)
		return jute.BadArguments
	}
	if _, busy := nextStep(n.configuration().Servers, now.servers, r.ready, n.me()); busy {
		return jute.ReconfigInProgress
	}
	if !r.hasQuorum(list) {
		// Who has just come may not have told yet how far it is.
		if !n.pause(n.opt.reportInterval(), r.over) || !r.hasQuorum(list) {
			return jute.NewConfigNoQuorum
		}
	}
	n.proposer.push(tree.Txn{Op: tree.Op{Kind: tree.SetConfig, Data: []byte(zoocfg.FormatServers(list))}})
	if !n.proposer.flush() {
		return ErrNotServing
	}
	for ctx.Err() == nil && !r.isOver() && r.reconcile() {
	}
	return ctx.Err()
}

// hasQuorum tells whether a majority of the voters of a list is there and has caught up.
func (r *reign) hasQuorum(list []zoocfg.Server) bool {
	voters, there := 0, 0
	have := r.n.configuration().Servers
	for _, s := range list {
		if s.Observer {
			continue
		}
		voters++
		for _, h := range have {
			if myIDOf(h.ID) == int(s.ID) && r.ready(h.ID) {
				there++
				break
			}
		}
	}
	return there > voters/2
}

// TransferLeadership makes another voter lead, as before this server is shut down.
func (n *Node) TransferLeadership(ctx context.Context) error {
	r, l, err := n.find(ctx)
	if err != nil {
		return err
	}
	if r != nil {
		return n.transfer()
	}
	if _, err = l.call(ctx, callTransfer, nil); err != ErrNotServing {
		return err
	}
	// The link broke: as it must, if another one leads now.
	now, other, err := n.find(ctx)
	if err == nil && now == nil && other.leader == l.leader {
		return ErrNotServing
	}
	return err
}
