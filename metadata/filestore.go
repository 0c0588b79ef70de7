package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/vfs"
)

// FileStore is a Store of one process: the tree in memory, and one file that each commit
// replaces as a whole (write aside, sync, rename, sync the folder). Multis that wait at
// the same time share one replacement. Ephemerals end with the process: opening the file
// again drops them.
//
// A commit that cannot be written changes nothing and the next one may succeed. A full disk
// is where topics must still be deleted, so beside the file lies a reserve of space, which
// a commit may use that finds none, and which is taken anew when there is some. Only when the rename or the folder's sync fails is the outcome unknown; from then
// on every write fails and reads show the last state that is known to be durable.
type FileStore struct {
	fs    vfs.FS
	clock clock.Clock
	file  string
	lock  io.Closer
	own   *session

	mu      sync.RWMutex
	changed sync.Cond // with mu: the queue got longer, or closing
	tree    *tree
	history []Txn // the last transactions, oldest first
	subs    map[*subscription]struct{}
	queue   []*commit
	broken  error // set once the outcome of a write is unknown
	closing bool
	nextID  int64
	open    map[int64]*session

	writer   sync.WaitGroup
	buf      []byte // the writer's
	reserved int64  // likewise: bytes of the reserve
}

// historyTxns is how many transactions a late subscriber can catch up with without a
// snapshot.
const historyTxns = 1024

// commit is one waiting Multi.
type commit struct {
	session *session // nil: the store itself
	ops     []Op
	endOf   int64 // a session whose ephemerals go (instead of ops), allSessions, or 0
	result  Result
	err     error
	done    chan struct{}
}

const allSessions int64 = -1

// OpenFileStore opens the tree kept in file, or starts an empty one if there is no such
// file. Its folder must exist. It fails when another process has the file open.
func OpenFileStore(fsys vfs.FS, file string, c clock.Clock) (*FileStore, error) {
	lock, err := fsys.Lock(file + ".lock")
	if err != nil {
		return nil, fmt.Errorf("metadata file %s: %w", file, err)
	}
	s := &FileStore{
		fs: fsys, clock: c, file: file, lock: lock,
		subs: map[*subscription]struct{}{}, open: map[int64]*session{}, nextID: clock.UnixMs(c)<<8 + 1,
	}
	s.changed.L = &s.mu
	if s.tree, err = readTree(fsys, file); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.dropEphemerals()
	s.buf = encodeTree(nil, s.tree, newDraft(s.tree, s.tree.zxid, 0))
	s.takeReserve()
	s.own = s.newSession()
	s.writer.Add(1)
	go s.write()
	return s, nil
}

func readTree(fsys vfs.FS, file string) (*tree, error) {
	f, err := fsys.OpenFile(file, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return newTree(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("metadata file: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("metadata file %s: %w", file, err)
	}
	buf := make([]byte, size)
	if n, err := f.ReadAt(buf, 0); n != len(buf) {
		return nil, fmt.Errorf("metadata file %s: read %d of %d bytes: %w", file, n, len(buf), err)
	}
	t, err := decodeTree(buf)
	if err != nil {
		return nil, fmt.Errorf("metadata file %s: %w", file, err)
	}
	return t, nil
}

// dropEphemerals ends the sessions of a former process as ZooKeeper does: one transaction.
// It reaches the disk with the next commit; opening again repeats it.
func (s *FileStore) dropEphemerals() {
	d := newDraft(s.tree, s.tree.zxid+1, clock.UnixMs(s.clock))
	ops := ephemerals(d, s.tree, allSessions)
	if len(ops) == 0 {
		return
	}
	if _, _, err := d.apply(0, ops); err == nil { // it cannot fail: they have no children
		s.tree.commit(d)
	}
}

// Get implements Store.
func (s *FileStore) Get(ctx context.Context, path string) ([]byte, Stat, error) {
	n, err := s.node(ctx, path)
	if err != nil {
		return nil, Stat{}, err
	}
	return n.data, n.stat(), nil
}

// Children implements Store.
func (s *FileStore) Children(ctx context.Context, path string) ([]string, Stat, error) {
	n, err := s.node(ctx, path)
	if err != nil {
		return nil, Stat{}, err
	}
	return sortedKeys(n.children), n.stat(), nil
}

// node returns a node of the tree, which is immutable.
func (s *FileStore) node(ctx context.Context, path string) (*node, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := s.tree.get(path)
	if n == nil {
		return nil, &PathError{Path: path, Err: ErrNoNode}
	}
	return n, nil
}

// Zxid is the last transaction.
func (s *FileStore) Zxid() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tree.zxid
}

// Multi implements Store. When ctx ends first the outcome is unknown.
func (s *FileStore) Multi(ctx context.Context, ops ...Op) (Result, error) {
	return s.multi(ctx, s.own, ops)
}

func (s *FileStore) multi(ctx context.Context, owner *session, ops []Op) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	c := &commit{session: owner, ops: ops, done: make(chan struct{})}
	if err := s.enqueue(c); err != nil {
		return Result{}, err
	}
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, ctx.Err())
	}
}

func (s *FileStore) enqueue(c *commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return ErrClosed
	case s.broken != nil:
		return s.broken
	case c.session != nil && c.session.ended:
		return ErrSessionExpired
	}
	s.queue = append(s.queue, c)
	s.changed.Signal()
	return nil
}

// write is the writer's goroutine: it takes all waiting commits and makes them durable
// with one replacement of the file.
func (s *FileStore) write() {
	defer s.writer.Done()
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.closing {
			s.changed.Wait()
		}
		group, broken := s.queue, s.broken
		s.queue = nil
		s.mu.Unlock()
		if len(group) == 0 {
			return
		}
		if broken != nil {
			fail(group, broken)
		} else {
			s.commitGroup(group)
		}
		for _, c := range group {
			close(c.done)
		}
	}
}

// commitGroup applies each commit on a draft of its own, so that a refused one leaves no
// trace, and replaces the file once for all that were accepted. Only this goroutine
// changes s.tree, so it reads it without the lock.
func (s *FileStore) commitGroup(group []*commit) {
	all := newDraft(s.tree, s.tree.zxid, clock.UnixMs(s.clock))
	var accepted []*commit
	var txns []Txn
	for _, c := range group {
		d := newDraft(all, all.zxid+1, all.nowMs)
		if c.endOf != 0 {
			if c.ops = ephemerals(all, s.tree, c.endOf); len(c.ops) == 0 {
				continue
			}
		}
		results, events, err := d.apply(c.session.id(), c.ops)
		if err != nil {
			c.err = err
			continue
		}
		d.mergeInto(all)
		c.result = Result{Zxid: d.zxid, Ops: results}
		accepted = append(accepted, c)
		txns = append(txns, Txn{Zxid: d.zxid, Events: events})
	}
	if len(accepted) == 0 {
		return
	}
	s.buf = encodeTree(s.buf[:0], s.tree, all)
	known, err := s.replace(s.buf)
	if err != nil {
		if !known {
			err = fmt.Errorf("%w: metadata file %s: %w", ErrUnknownOutcome, s.file, err)
			s.mu.Lock()
			s.broken = err
			s.mu.Unlock()
		} else {
			err = &WriteError{File: s.file, Err: err}
		}
		fail(accepted, err)
		return
	}
	s.publish(all, txns)
}

func fail(group []*commit, err error) {
	for _, c := range group {
		c.result, c.err = Result{}, err
	}
}

// replace puts content in the file's place. known tells, for an error, that the file is
// still the old one.
func (s *FileStore) replace(content []byte) (known bool, err error) {
	aside := s.file + ".tmp"
	err = s.writeAside(aside, content)
	if isFull(err) && s.useReserve() {
		err = s.writeAside(aside, content)
	}
	if err != nil {
		return true, errors.Join(err, ignoreNotExist(s.fs.Remove(aside)))
	}
	if err := s.fs.Rename(aside, s.file); err != nil {
		return false, err
	}
	if err := s.fs.SyncDir(path.Dir(s.file)); err != nil {
		return false, err
	}
	s.takeReserve()
	return true, nil
}

func (s *FileStore) writeAside(aside string, content []byte) error {
	f, err := s.fs.OpenFile(aside, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(content, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// publish shows the group to readers and subscribers.
func (s *FileStore) publish(d *draft, txns []Txn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree.commit(d)
	s.history = append(s.history, txns...)
	if extra := len(s.history) - historyTxns; extra > 0 {
		s.history = append([]Txn(nil), s.history[extra:]...)
	}
	for sub := range s.subs {
		sub.push(txns...)
	}
}

// Subscribe implements Store.
func (s *FileStore) Subscribe(fromZxid int64, f func(Txn)) (cancel func(), snapshotZxid int64) {
	sub := newSubscription(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.push(s.since(fromZxid)...)
	if !s.closing {
		s.subs[sub] = struct{}{}
	}
	go sub.run()
	return func() {
		s.mu.Lock()
		delete(s.subs, sub)
		s.mu.Unlock()
		sub.stop()
	}, s.tree.zxid
}

// since returns what a subscriber that knows zxid has missed.
func (s *FileStore) since(zxid int64) []Txn {
	if zxid == s.tree.zxid && zxid > 0 {
		return nil
	}
	for i, txn := range s.history {
		if txn.Zxid == zxid+1 && zxid > 0 {
			return append([]Txn(nil), s.history[i:]...)
		}
	}
	return []Txn{s.tree.snapshot()}
}

// Close ends all sessions, which removes their ephemerals, and gives the file free. An
// error means that the removal could not be written; opening again does it then.
func (s *FileStore) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	last := &commit{endOf: allSessions, done: make(chan struct{})}
	if s.broken == nil {
		s.queue = append(s.queue, last)
	}
	for _, o := range s.open {
		o.end()
	}
	s.closing = true
	s.changed.Signal()
	s.mu.Unlock()

	s.writer.Wait()
	s.mu.Lock()
	subs := s.subs
	s.subs = map[*subscription]struct{}{}
	s.mu.Unlock()
	for sub := range subs {
		sub.stop()
	}
	return errors.Join(last.err, s.lock.Close())
}
