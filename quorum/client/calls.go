package client

import (
	"context"
	"errors"

	"github.com/millrace/millrace/quorum/jute"
)

// Create makes a node and returns its path, which for a sequential one has its number. acl
// nil lets everybody do everything.
func (c *Client) Create(ctx context.Context, path string, data []byte, acl []jute.ACL, mode jute.CreateMode) (string, error) {
	op := jute.OpCreate
	if mode == jute.Container {
		op = jute.OpCreateContainer
	}
	p, err := c.Do(ctx, &Request{Op: op, Path: path, Data: data, ACL: acl, Mode: mode})
	if err != nil {
		return "", err
	}
	return p.Path, nil
}

// CreateStat is Create that tells the node's Stat (3.5).
func (c *Client) CreateStat(ctx context.Context, path string, data []byte, acl []jute.ACL, mode jute.CreateMode) (string, jute.Stat, error) {
	op := jute.OpCreate2
	if mode == jute.Container {
		op = jute.OpCreateContainer
	}
	return c.pathStat(ctx, &Request{Op: op, Path: path, Data: data, ACL: acl, Mode: mode})
}

// CreateTTL makes a node that goes when it has no children and was not changed for ttlMs
// milliseconds (3.5, when the server allows it).
func (c *Client) CreateTTL(ctx context.Context, path string, data []byte, acl []jute.ACL, mode jute.CreateMode, ttlMs int64) (string, jute.Stat, error) {
	return c.pathStat(ctx, &Request{Op: jute.OpCreateTTL, Path: path, Data: data, ACL: acl, Mode: mode, TTLMs: ttlMs})
}

func (c *Client) pathStat(ctx context.Context, q *Request) (string, jute.Stat, error) {
	p, err := c.Do(ctx, q)
	if err != nil {
		return "", jute.Stat{}, err
	}
	return p.Path, p.Stat, nil
}

// Delete removes a node that has no children, in version, or in any when that is -1.
func (c *Client) Delete(ctx context.Context, path string, version int32) error {
	_, err := c.Do(ctx, &Request{Op: jute.OpDelete, Path: path, Version: version})
	return err
}

// Set replaces a node's data, in version, or in any when that is -1.
func (c *Client) Set(ctx context.Context, path string, data []byte, version int32) (jute.Stat, error) {
	return c.stat(ctx, &Request{Op: jute.OpSetData, Path: path, Data: data, Version: version})
}

func (c *Client) stat(ctx context.Context, q *Request) (jute.Stat, error) {
	p, err := c.Do(ctx, q)
	if err != nil {
		return jute.Stat{}, err
	}
	return p.Stat, nil
}

// Get returns a node's data. nil is null.
func (c *Client) Get(ctx context.Context, path string) ([]byte, jute.Stat, error) {
	return c.get(ctx, &Request{Op: jute.OpGetData, Path: path})
}

// GetW is Get that leaves a watch. The channel gets one event.
func (c *Client) GetW(ctx context.Context, path string) ([]byte, jute.Stat, <-chan Event, error) {
	ch, f := once()
	data, st, err := c.get(ctx, &Request{Op: jute.OpGetData, Path: path, Watch: f})
	return data, st, ch, err
}

func (c *Client) get(ctx context.Context, q *Request) ([]byte, jute.Stat, error) {
	p, err := c.Do(ctx, q)
	if err != nil {
		return nil, jute.Stat{}, err
	}
	return p.Data, p.Stat, nil
}

// once returns a channel and the watch that fills it.
func once() (<-chan Event, func(Event)) {
	ch := make(chan Event, 1)
	return ch, func(e Event) {
		select {
		case ch <- e:
		default:
		}
	}
}

// Children returns the names of a node's children, in no order.
func (c *Client) Children(ctx context.Context, path string) ([]string, jute.Stat, error) {
	return c.children(ctx, &Request{Op: jute.OpGetChildren2, Path: path})
}

// ChildrenW is Children that leaves a watch. The channel gets one event.
func (c *Client) ChildrenW(ctx context.Context, path string) ([]string, jute.Stat, <-chan Event, error) {
	ch, f := once()
	names, st, err := c.children(ctx, &Request{Op: jute.OpGetChildren2, Path: path, Watch: f})
	return names, st, ch, err
}

func (c *Client) children(ctx context.Context, q *Request) ([]string, jute.Stat, error) {
	p, err := c.Do(ctx, q)
	if err != nil {
		return nil, jute.Stat{}, err
	}
	return p.Children, p.Stat, nil
}

// Exists tells whether a node is there. That it is not is no error.
func (c *Client) Exists(ctx context.Context, path string) (bool, jute.Stat, error) {
	return c.exists(ctx, &Request{Op: jute.OpExists, Path: path})
}

// ExistsW is Exists that leaves a watch, also on a node that is not there.
func (c *Client) ExistsW(ctx context.Context, path string) (bool, jute.Stat, <-chan Event, error) {
	ch, f := once()
	there, st, err := c.exists(ctx, &Request{Op: jute.OpExists, Path: path, Watch: f})
	return there, st, ch, err
}

func (c *Client) exists(ctx context.Context, q *Request) (bool, jute.Stat, error) {
	p, err := c.Do(ctx, q)
	if errors.Is(err, jute.NoNode) {
		return false, jute.Stat{}, nil
	}
	if err != nil {
		return false, jute.Stat{}, err
	}
	return true, p.Stat, nil
}

// GetACL returns who may do what with a node.
func (c *Client) GetACL(ctx context.Context, path string) ([]jute.ACL, jute.Stat, error) {
	p, err := c.Do(ctx, &Request{Op: jute.OpGetACL, Path: path})
	if err != nil {
		return nil, jute.Stat{}, err
	}
	return p.ACL, p.Stat, nil
}

// SetACL says who may do what with a node; aversion is the version of its ACL, -1 any.
func (c *Client) SetACL(ctx context.Context, path string, acl []jute.ACL, aversion int32) (jute.Stat, error) {
	return c.stat(ctx, &Request{Op: jute.OpSetACL, Path: path, ACL: acl, Version: aversion})
}

// Sync makes what is read after it no older than it.
func (c *Client) Sync(ctx context.Context, path string) error {
	_, err := c.Do(ctx, &Request{Op: jute.OpSync, Path: path})
	return err
}

// Multi does all of ops or none. When one fails, the error is that of the one, and the
// results say which.
func (c *Client) Multi(ctx context.Context, ops ...jute.MultiOp) ([]jute.MultiResult, error) {
	return c.multi(ctx, jute.OpMulti, ops)
}

// MultiRead reads several nodes. Each result has its own error (3.6).
func (c *Client) MultiRead(ctx context.Context, ops ...jute.MultiOp) ([]jute.MultiResult, error) {
	return c.multi(ctx, jute.OpMultiRead, ops)
}

func (c *Client) multi(ctx context.Context, op jute.OpCode, ops []jute.MultiOp) ([]jute.MultiResult, error) {
	p, err := c.Do(ctx, &Request{Op: op, Ops: ops})
	if p == nil {
		return nil, err
	}
	return p.Results, err
}

// AddWatch leaves a watch that stays (3.6). What happens between two connections it is not
// told: read again after each Connected.
func (c *Client) AddWatch(ctx context.Context, path string, mode jute.AddWatchMode, f func(Event)) error {
	_, err := c.Do(ctx, &Request{Op: jute.OpAddWatch, Path: path, AddMode: mode, Watch: f})
	return err
}

// RemoveWatches takes away this client's watches on a path; they are told so. WatcherAny is
// needed for those that stay.
func (c *Client) RemoveWatches(ctx context.Context, path string, which jute.WatcherType) error {
	_, err := c.Do(ctx, &Request{Op: jute.OpRemoveWatches, Path: path, WatcherType: which})
	return err
}

// Reconfig changes the ensemble and returns the new configuration.
func (c *Client) Reconfig(ctx context.Context, change jute.ReconfigRequest) ([]byte, jute.Stat, error) {
	return c.get(ctx, &Request{Op: jute.OpReconfig, Reconfig: change})
}

// ConfigNode holds the ensemble's configuration. Its path is outside of any chroot.
const ConfigNode = "/zookeeper/config"

// EnsembleConfig returns the ensemble's configuration.
func (c *Client) EnsembleConfig(ctx context.Context) ([]byte, jute.Stat, error) {
	return c.get(ctx, &Request{Op: jute.OpGetData, Path: ConfigNode, NoChroot: true})
}

// Ephemerals returns the paths of this session's ephemeral nodes that start with prefix (3.6).
func (c *Client) Ephemerals(ctx context.Context, prefix string) ([]string, error) {
	p, err := c.Do(ctx, &Request{Op: jute.OpGetEphemerals, Path: prefix})
	if err != nil {
		return nil, err
	}
	return p.Children, nil
}

// AllChildrenNumber counts the nodes below a path (3.6).
func (c *Client) AllChildrenNumber(ctx context.Context, path string) (int32, error) {
	p, err := c.Do(ctx, &Request{Op: jute.OpGetAllChildrenNumber, Path: path})
	if err != nil {
		return 0, err
	}
	return p.Count, nil
}

// WhoAmI returns who the server thinks that the client is (3.7).
func (c *Client) WhoAmI(ctx context.Context) ([]jute.ClientInfo, error) {
	p, err := c.Do(ctx, &Request{Op: jute.OpWhoAmI})
	if err != nil {
		return nil, err
	}
	return p.Infos, nil
}

// AddAuth shows an identity, now and on each later connection, and waits for the server to
// take it. When the server refuses, the client's state is AuthFailed.
func (c *Client) AddAuth(ctx context.Context, scheme string, data []byte) error {
	a := newAuth(Auth{scheme, data})
	c.mu.Lock()
	if c.closing || c.state.Final() {
		defer c.mu.Unlock()
		return &Error{Op: jute.OpAuth, Code: c.state.code(), Cause: c.finalCause()}
	}
	c.auths = append(c.auths, a)
	if c.link != nil {
		c.out = c.appendAuth(c.out, a)
		c.wakeWriter()
	}
	c.mu.Unlock()
	select {
	case err := <-a.answered:
		return err
	case <-ctx.Done():
		return &Error{Op: jute.OpAuth, Code: jute.OperationTimeout, Sent: true, Cause: ctx.Err()}
	}
}

// appendAuth appends the packet that shows a. The caller holds mu.
func (c *Client) appendAuth(dst []byte, a *auth) []byte {
	start := len(dst)
	h := jute.RequestHeader{Xid: jute.XidAuth, Op: jute.OpAuth}
	m := jute.AuthPacket{Scheme: a.Scheme, Auth: a.Auth.Auth}
	dst = m.AppendTo(h.AppendTo(jute.BeginFrame(dst)))
	jute.EndFrame(dst, start)
	c.authing = append(c.authing, a)
	return dst
}
