package node

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
)

// begin opens the ports and starts Raft: at once if this server knows who it is, else when it
// has found out from the others.
func (n *Node) begin(ctx context.Context) error {
	n.guard = newGuardedLog(n.opt.Stores.Log, n.fuse, n.run)
	n.logs, n.tracks = n.guard.forRaft(n.applied.Load)
	n.stable = &guardedStable{n.opt.Stores.Stable, n.fuse}
	old, err := raft.HasExistingState(n.logs, n.stable, n.opt.Stores.Snapshots)
	if err != nil {
		close(n.launched)
		return fmt.Errorf("look at the stores: %w", err)
	}
	n.old = old
	name, err := loadName(n.stable, n.opt.MyID, old)
	if err == nil {
		err = n.listen(ctx)
	}
	if err != nil {
		close(n.launched)
		return err
	}
	n.run(n.keepGate)
	joins := name != plainName(n.opt.MyID) && name != ""
	if old || joins || n.aloneAtFirst() {
		defer close(n.launched)
		if old || joins {
			return n.launch(name, nil)
		}
		return n.launch(n.lookAround())
	}
	n.run(func() {
		defer close(n.launched)
		name, first := n.lookAround()
		if name == "" {
			return // the node ends
		}
		if err := n.launch(name, first); err != nil {
			n.fail(err)
		}
	})
	return nil
}

// aloneAtFirst tells whether a new ensemble has this server only, so that nobody is to be asked.
func (n *Node) aloneAtFirst() bool {
	servers := firstConfiguration(n.opt.Servers, n.opt.MyID).Servers
	return len(servers) == 1 && servers[0].ID == plainName(n.opt.MyID)
}

// listen opens the ports for the other servers, and answers on ours.
func (n *Node) listen(ctx context.Context) error {
	if len(n.opt.Servers) == 0 {
		return nil
	}
	self, _ := n.addressOf(n.opt.MyID)
	if n.opt.ListenOnAllIPs {
		self.Host = ""
	}
	var err error
	if n.listener, err = n.opt.Net.Listen(ctx, self.PeerAddress()); err != nil {
		return fmt.Errorf("open the quorum port: %w", err)
	}
	if n.rpc, err = n.opt.Net.Listen(ctx, self.ElectionAddress()); err != nil {
		return fmt.Errorf("open the election port: %w", err)
	}
	n.run(func() { n.listenRPC(n.rpc) })
	return nil
}

// launch starts Raft under a name. first is the configuration to write when the ensemble is new.
func (n *Node) launch(name raft.ServerID, first *raft.Configuration) error {
	n.name.Store(&name)
	if err := n.stable.Set(nameKey, []byte(name)); err != nil {
		return fmt.Errorf("write this server's name: %w", err)
	}
	config := raftConfig(&n.opt, name, n.tracks, n.stop)
	notify := make(chan bool, 16)
	config.NotifyCh = notify
	n.openTransport()
	if first != nil {
		if err := raft.BootstrapCluster(config, n.logs, n.stable, n.opt.Stores.Snapshots, n.trans, *first); err != nil {
			n.closeTransport()
			return fmt.Errorf("write the first configuration: %w", err)
		}
	}
	started, err := raft.NewRaft(config, machine{n}, n.logs, n.stable, n.opt.Stores.Snapshots, n.trans)
	if err != nil {
		n.closeTransport()
		return fmt.Errorf("start raft: %w", err)
	}
	n.raft = started
	close(n.up)
	if err := n.fuse.arm(); err != nil {
		return err
	}
	if n.isStopped() {
		return n.err // what was committed could not be applied
	}
	n.start(notify)
	return nil
}

// start runs what goes on while Raft does.
func (n *Node) start(notify <-chan bool) {
	n.runAsking(n.proposer.run)
	n.runAsking(n.proposer.settle)
	n.runAsking(n.watchBytes)
	n.run(func() { n.watch(notify) })
	n.run(n.watchStores)
	n.run(n.electSelf)
	if len(n.opt.Servers) > 0 {
		n.guard.leader.Store(n.raft)
		n.run(n.follow)
		n.run(n.join)
	}
}

func (n *Node) openTransport() {
	if n.listener == nil {
		n.trans = newLoneTransport(n.me())
		return
	}
	t := n.newNetTransport(n.listener)
	n.heralds = newHeralds(n, t)
	n.trans = t
}

// closeTransport gives up a transport that Raft did not take.
func (n *Node) closeTransport() {
	n.trans.sever()
	_ = n.trans.Close()
}

// watchStores ends the node when its stores say that they failed.
func (n *Node) watchStores() {
	select {
	case <-n.opt.Stores.Failed:
		n.fuse.blow(&StoreError{Op: "use its log", Err: n.opt.Stores.Err()})
	case <-n.stop:
	}
}
