package controller

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/metadata"
)

// Options is what a Controller works with.
type Options struct {
	Store    metadata.Store
	Loader   *metadata.Loader // of the same store
	Clock    clock.Clock
	Log      *slog.Logger
	Random   io.Reader // topic ids, and where assignments begin
	BrokerID int32
	// ValidateConfig checks a topic's settings; its error is told to the client.
	ValidateConfig func(settings map[string]string) error
	// Defaults is asked for each request, since settings may change.
	Defaults func() Defaults
	// MaxReplicationFactor is the most replicas of a partition that a request may ask for; 0: as
	// many as there are brokers.
	MaxReplicationFactor int
	// KnownID is the id that logs on this broker have of a topic whose node lost it; nil
	// knows none.
	KnownID func(topic string) (metadata.TopicID, bool)
}

// Defaults are settings of the broker that decisions need.
type Defaults struct {
	NumPartitions     int32
	ReplicationFactor int16
	DeleteTopics      bool // delete.topic.enable
}

// Controller decides for the cluster while its broker holds /controller. While another one
// does, it refuses with ErrNotController and waits for its turn.
type Controller struct {
	o      Options
	wake   chan struct{} // the worker has something to do
	ctx    context.Context
	cancel context.CancelFunc
	worked sync.WaitGroup
	retry  clock.Timer // the worker's
	noted  map[string]int64

	epoch atomic.Int32 // of this broker's last election

	mu sync.Mutex // one decision at a time, from reading the image to the loaded result
	// active: this broker was elected and did not lose its place, as far as it knows.
	active bool
	// version is that of the epoch's node, which each write checks; session that which holds
	// /controller.
	version int32
	session int64
}

// Start elects this broker if there is no controller, does what waits for one, and goes on
// to follow the image: when /controller becomes free it is taken, and what tools write into
// the tree themselves is obeyed. The broker must be registered.
func Start(ctx context.Context, o Options) (*Controller, error) {
	c := &Controller{o: o, wake: make(chan struct{}, 1), noted: map[string]int64{}}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.step(ctx); err != nil {
		c.cancel()
		return nil, err
	}
	c.worked.Add(1)
	go c.work()
	o.Loader.Add(c)
	return c, nil
}

// Close ends the following. /controller stays until the session ends. The image must still
// be loaded while it runs.
func (c *Controller) Close() {
	c.cancel()
	c.worked.Wait()
}

// Epoch is that of this broker's last election, 0 before the first.
func (c *Controller) Epoch() int32 { return c.epoch.Load() }

// Leads tells whether this broker is the controller, as far as it knows.
func (c *Controller) Leads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leads()
}

// Publish implements metadata.Publisher.
func (c *Controller) Publish(old, image *metadata.Image) {
	if old.Controller() != image.Controller() || old.ControllerEpoch() != image.ControllerEpoch() ||
		differ(old.Brokers(), image.Brokers()) || differ(old.Topics(), image.Topics()) || len(image.DeletionMarks()) > 0 {
		c.signal()
	}
}

// differ compares by identity: an image shares what did not change with the one before.
func differ[T any](a, b []T) bool {
	return len(a) != len(b) || len(a) > 0 && &a[0] != &b[0]
}

func (c *Controller) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// retryAfter is when what failed for another reason than a conflict is tried again.
const retryAfter = time.Second

// work is the worker's goroutine.
func (c *Controller) work() {
	defer c.worked.Done()
	for {
		select {
		case <-c.wake:
		case <-c.ctx.Done():
			if c.retry != nil {
				c.retry.Stop()
			}
			return
		}
		err := c.step(c.ctx)
		if err == nil || c.ctx.Err() != nil || errors.Is(err, metadata.ErrClosed) {
			continue
		}
		if conflict(err) {
			// Somebody wrote meanwhile; the next image may already be here.
			c.o.Log.Info("the tree changed under a decision, which is taken anew", "err", err)
		} else {
			c.o.Log.Error("what waits for the controller could not be done; it is tried again", "err", err)
		}
		if c.retry == nil {
			c.retry = c.o.Clock.AfterFunc(retryAfter, c.signal)
		} else {
			c.retry.Reset(retryAfter)
		}
	}
}

// conflict tells whether a write was refused because the tree had changed.
func conflict(err error) bool {
	return errors.As(err, new(*metadata.MultiError)) || errors.Is(err, ErrNotController)
}

// step takes the place if it is free, and does what waits for the controller.
func (c *Controller) step(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leads() {
		if c.active {
			c.active = false
			c.o.Log.Warn("this broker is no longer the controller", "epoch", c.Epoch())
		}
		if elected, err := c.elect(ctx); err != nil || !elected {
			return err
		}
	}
	return c.reconcile(ctx)
}

// leads tells whether this broker still holds the place by the image.
func (c *Controller) leads() bool {
	image := c.o.Loader.Image()
	return c.active && image.Controller().Session == c.session && image.ControllerEpoch() == c.Epoch()
}

// elect takes /controller and raises /controller_epoch in one transaction, so that there
// is never a controller with another's epoch. The broker itself must be registered: one
// that is not leads no partition either.
func (c *Controller) elect(ctx context.Context) (elected bool, err error) {
	if _, registered := c.o.Loader.Image().Broker(c.o.BrokerID); !registered {
		return false, nil
	}
	var ops []metadata.Op
	session := c.o.Store.Session().ID
	_, held, err := c.o.Store.Get(ctx, metadata.ControllerPath)
	switch {
	case err == nil && held.EphemeralOwner != session:
		return false, nil
	case err == nil: // ours, but somebody wrote to the epoch
		ops = append(ops, metadata.Delete(metadata.ControllerPath, held.Version))
	case !errors.Is(err, metadata.ErrNoNode):
		return false, fmt.Errorf("controller election: %w", err)
	}
	ops = append(ops, metadata.CreateEphemeral(metadata.ControllerPath, metadata.EncodeController(c.o.BrokerID, clock.UnixMs(c.o.Clock))))
	raise, epoch, version, err := c.raise(ctx)
	if err != nil {
		return false, err
	}
	r, err := c.o.Store.Multi(ctx, append(ops, raise)...)
	if errors.Is(err, metadata.ErrNodeExists) || errors.Is(err, metadata.ErrBadVersion) || errors.Is(err, metadata.ErrNoNode) {
		c.signal()
		return false, nil // another broker was faster: the image will tell
	}
	if err != nil {
		return false, fmt.Errorf("controller election: %w", err)
	}
	if err := c.o.Loader.Wait(ctx, r.Zxid); err != nil {
		return false, err
	}
	c.epoch.Store(epoch)
	c.version, c.session, c.active = version, r.Ops[len(ops)-1].Stat.EphemeralOwner, true
	c.o.Log.Info("elected controller", "broker", c.o.BrokerID, "epoch", epoch)
	return true, nil
}

// raise is the write that makes the next controller epoch.
func (c *Controller) raise(ctx context.Context) (op metadata.Op, epoch, version int32, err error) {
	data, stat, err := c.o.Store.Get(ctx, metadata.ControllerEpochPath)
	if errors.Is(err, metadata.ErrNoNode) {
		return metadata.Create(metadata.ControllerEpochPath, []byte("1")), 1, 0, nil
	}
	if err != nil {
		return op, 0, 0, fmt.Errorf("controller election: %w", err)
	}
	old, err := strconv.ParseInt(string(data), 10, 32)
	if err != nil || old == math.MaxInt32 {
		// What it was is not known, but it was never more than the number of its changes.
		c.o.Log.Error("the controller epoch cannot be read and is counted by its changes", "path", metadata.ControllerEpochPath, "data", string(data))
		old = int64(max(c.o.Loader.Image().ControllerEpoch(), stat.Version))
	}
	return metadata.Set(metadata.ControllerEpochPath, strconv.AppendInt(nil, old+1, 10), stat.Version), int32(old) + 1, stat.Version + 1, nil
}

// commit writes a decision as one transaction, fenced by the controller's epoch, and
// returns when the image holds it. The caller holds c.mu.
func (c *Controller) commit(ctx context.Context, ops []metadata.Op) (zxid int64, err error) {
	if !c.active {
		return 0, refuse(NotController, "this broker is not the controller")
	}
	all := make([]metadata.Op, 0, len(ops)+1)
	all = append(all, metadata.Check(metadata.ControllerEpochPath, c.version))
	r, err := c.o.Store.Multi(ctx, append(all, ops...)...)
	if err != nil {
		var m *metadata.MultiError
		if errors.As(err, &m) && m.Index == 0 {
			c.active = false
			c.signal()
			return 0, refuse(NotController, "this broker is no longer the controller")
		}
		return 0, err
	}
	return r.Zxid, c.o.Loader.Wait(ctx, r.Zxid)
}

// maxMultiBytes is how much a transaction may hold: an ensemble takes packets of a MiB
// (jute.maxbuffer).
const maxMultiBytes = 512 << 10

func opBytes(op metadata.Op) int { return len(op.Path) + len(op.Data) + 64 }

// commitAll writes decisions in as many transactions as they need: one, where they fit. Ops
// of one group stay together if they can.
func (c *Controller) commitAll(ctx context.Context, groups ...[]metadata.Op) (zxid int64, err error) {
	var ops []metadata.Op
	size := 0
	flush := func() error {
		if len(ops) == 0 {
			return nil
		}
		zxid, err = c.commit(ctx, ops)
		ops, size = nil, 0
		return err
	}
	for _, group := range groups {
		total := 0
		for _, op := range group {
			total += opBytes(op)
		}
		if size+total > maxMultiBytes {
			if err := flush(); err != nil {
				return 0, err
			}
		}
		for _, op := range group {
			if size+opBytes(op) > maxMultiBytes {
				if err := flush(); err != nil {
					return 0, err
				}
			}
			ops, size = append(ops, op), size+opBytes(op)
		}
	}
	return zxid, flush()
}

func contains(list []int32, want int32) bool {
	for _, v := range list {
		if v == want {
			return true
		}
	}
	return false
}

// newID draws a random (version 4) UUID as Kafka does: never one of its reserved ids, and
// never one whose text begins with a dash, which a command line would take for an option.
func newID(random io.Reader) (metadata.TopicID, error) {
	for {
		var id metadata.TopicID
		if _, err := io.ReadFull(random, id[:]); err != nil {
			return id, fmt.Errorf("random id: %w", err)
		}
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		// The version bits keep it apart from the reserved ids, which are zero but for
		// their last byte.
		if metadata.IDString(id)[0] != '-' {
			return id, nil
		}
	}
}

func randomBelow(random io.Reader, n int) (int, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("random number: %w", err)
	}
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n)), nil
}
