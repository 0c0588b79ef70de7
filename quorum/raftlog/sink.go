package raftlog

import (
	"errors"
	"hash/crc32"
	"os"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/segment"
)

const (
	sinkBufferBytes = 256 << 10
	// syncStepBytes is how much of a snapshot is written between syncs: one sync of all of it
	// would hold up the log's.
	syncStepBytes = 8 << 20
)

// sink is a snapshot that is being written, a raft.SnapshotSink.
type sink struct {
	sn    *Snapshots
	n     snapshotName
	stall stall
	name  string // the file's in the end
	temp  string // until then

	f        vfs.File // nil when it is over
	buf      []byte
	at       int64 // where buf goes
	unsynced int64
	body     int64
	sum      uint32
	err      error // the first failure
}

func (k *sink) start(head []byte) error {
	f, err := k.create()
	if segment.IsDiskFull(err) && k.sn.s.reserve.use() {
		f, err = k.create()
	}
	if err != nil {
		return k.fail("create", err)
	}
	k.f = f
	k.buf = append(make([]byte, 0, sinkBufferBytes), head...)
	k.sum = crc32.Checksum(head, castagnoli)
	return nil
}

func (k *sink) create() (vfs.File, error) {
	return k.sn.s.o.FS.OpenFile(k.temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// fail keeps the first error. A full disk, or a descriptor that could not be had, costs this
// snapshot only.
func (k *sink) fail(op string, err error) error {
	if k.err == nil {
		k.err = err
		if !segment.IsDiskFull(err) && !vfs.OutOfFiles(err) {
			k.err = k.sn.s.latch.fail(op+" snapshot "+k.name, err)
		}
	}
	return k.err
}

// ID implements raft.SnapshotSink.
func (k *sink) ID() string { return k.n.id() }

// Write implements io.Writer.
func (k *sink) Write(b []byte) (int, error) {
	if k.f == nil {
		return 0, os.ErrClosed
	}
	written := 0
	for len(b) > 0 {
		if k.err != nil {
			return written, k.err
		}
		if len(k.buf) == cap(k.buf) {
			if err := k.flush(); err != nil {
				return written, err
			}
		}
		n := min(len(b), cap(k.buf)-len(k.buf))
		k.buf = append(k.buf, b[:n]...)
		k.sum = crc32.Update(k.sum, castagnoli, b[:n])
		k.body += int64(n)
		written += n
		b = b[n:]
	}
	return written, nil
}

// flush writes the buffer, and syncs now and then.
func (k *sink) flush() error {
	if err := k.sn.s.latch.check(); err != nil {
		k.err = err
		return err
	}
	defer k.stall.begin("write " + k.name)()
	_, err := k.f.WriteAt(k.buf, k.at)
	if segment.IsDiskFull(err) && k.sn.s.reserve.use() {
		_, err = k.f.WriteAt(k.buf, k.at)
	}
	if err != nil {
		return k.fail("write", err)
	}
	k.at += int64(len(k.buf))
	k.unsynced += int64(len(k.buf))
	k.buf = k.buf[:0]
	if k.unsynced < syncStepBytes {
		return nil
	}
	k.unsynced = 0
	if err := k.f.SyncData(); err != nil {
		return k.fail("sync", err)
	}
	return nil
}

// Close implements raft.SnapshotSink: the snapshot is durable and listed when it returns nil,
// and gone otherwise.
func (k *sink) Close() error {
	if k.f == nil {
		return k.err
	}
	tail := appendSnapshotTail(nil, k.body, k.sum)
	body := k.body
	_, err := k.Write(tail)
	k.body = body
	if err == nil {
		err = k.flush()
	}
	if err == nil {
		err = k.publish()
	}
	if err != nil {
		return errors.Join(err, k.discard())
	}
	k.sn.add(k.n)
	return nil
}

// publish makes the file durable under its own name.
func (k *sink) publish() error {
	defer k.stall.begin("sync " + k.name)()
	if err := k.f.Sync(); err != nil {
		return k.fail("sync", err)
	}
	f := k.f
	k.f = nil
	if err := f.Close(); err != nil {
		return k.fail("close", err)
	}
	fs := k.sn.s.o.FS
	if err := fs.Rename(k.temp, k.name); err != nil {
		return k.fail("rename", err)
	}
	if err := fs.SyncDir(k.sn.dir); err != nil {
		return k.fail("sync the folder of", err)
	}
	return k.sn.s.latch.check()
}

// Cancel implements raft.SnapshotSink. After Close it does nothing.
func (k *sink) Cancel() error {
	if k.f == nil {
		return nil
	}
	k.err = os.ErrClosed
	return k.discard()
}

// discard removes the unfinished file.
func (k *sink) discard() error {
	if k.f != nil {
		_ = k.f.Close() // it is removed
		k.f = nil
	}
	err := k.sn.s.o.FS.Remove(k.name + tempSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
