package engine

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/vfs"
)

const deletedDirSuffix = "-delete"

// Delete takes a partition out of service and renames its folder to
// topic-partition.<random id>-delete, as Kafka does; the files are removed after the topic's
// file.delete.delay.ms. A partition in a directory that is offline is forgotten only.
func (s *Store) Delete(tp TopicPartition) error {
	s.mu.Lock()
	l, ok := s.logs[tp]
	if !ok || s.closed {
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return ErrClosed
		}
		return fmt.Errorf("%w: %s", ErrUnknownPartition, tp)
	}
	delete(s.logs, tp)
	d := s.dirOf(l)
	d.count--
	s.mu.Unlock()
	if err := d.failure(); err != nil {
		l.kill(ErrClosed)
		return err
	}
	if err := d.renameDeleted(l); err != nil {
		d.fail(err)
		return d.failure()
	}
	return nil
}

func (s *Store) dirOf(l *Log) *logDir {
	for _, d := range s.dirs {
		if d.host == l.host {
			return d
		}
	}
	return nil
}

// renameDeleted stops the log and renames its folder, durably, so that it does not come
// back.
func (d *logDir) renameDeleted(l *Log) error {
	l.metaMu.Lock()
	defer l.metaMu.Unlock()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	return d.renameDeletedLocked(l, ErrClosed)
}

// renameDeletedLocked is renameDeleted with the log's locks held; calls of the log are refused
// with reason.
func (d *logDir) renameDeletedLocked(l *Log, reason error) error {
	l.kill(reason)
	id := d.store.newID()
	name := dirName(l.tp, hex.EncodeToString(id[:]), deletedDirSuffix)
	path := filepath.Join(d.host.dir, name)
	if err := d.host.fs.Rename(l.Dir(), path); err != nil {
		return err
	}
	l.dir.Store(&path)
	switch err := d.host.fs.SyncDir(d.host.dir); {
	case vfs.OutOfFiles(err):
		d.limited(err)
		d.deletedMu.Lock()
		d.renamesDue = true
		d.deletedMu.Unlock()
	case err != nil:
		return err
	}
	d.deleteLater(path, flushDelay(l.cfg.Load().FileDeleteDelayMs))
	return nil
}

// dirName is the name of a folder that is not a partition's, or not yet. It keeps it within
// what file systems allow, as Kafka's LocalLog.logDeleteDirName does.
func dirName(tp TopicPartition, id, kind string) string {
	const maxNameBytes = 255
	suffix := fmt.Sprintf("-%d.%s%s", tp.Partition, id, kind)
	topic := tp.Topic
	if len(topic) > maxNameBytes-len(suffix) {
		topic = topic[:maxNameBytes-len(suffix)]
	}
	return topic + suffix
}

// isDeletedDir recognises a folder that waits for its removal.
func isDeletedDir(name string) bool { return hasID(name, deletedDirSuffix) }

// hasID tells whether a name is one that dirName makes.
func hasID(name, kind string) bool {
	rest, ok := strings.CutSuffix(name, kind)
	if !ok {
		return false
	}
	dot := strings.LastIndexByte(rest, '.')
	if dot <= 0 || len(rest)-dot-1 != 32 || strings.Trim(rest[dot+1:], "0123456789abcdef") != "" {
		return false
	}
	dash := strings.LastIndexByte(rest[:dot], '-')
	return dash > 0 && strings.Trim(rest[dash+1:dot], "0123456789") == ""
}

// deleteLater removes a folder when its delay is over: by a retention check, or by a task of
// its own where retention checks are rare.
func (d *logDir) deleteLater(path string, delay time.Duration) {
	d.deletedMu.Lock()
	d.deleted = append(d.deleted, deletedLog{path: path, due: d.host.clock.Now().Add(delay)})
	d.deletedMu.Unlock()
	d.store.tasks.once(d.host.clock, delay, func() { d.removeDeleted(d.host.clock.Now()) })
}

func (d *logDir) removeDeleted(now time.Time) {
	d.deletedMu.Lock()
	var due, later []deletedLog
	for _, x := range d.deleted {
		if x.due.After(now) {
			later = append(later, x)
		} else {
			due = append(due, x)
		}
	}
	d.deleted = later
	sync := d.renamesDue && len(due) > 0
	d.deletedMu.Unlock()
	if sync && !d.syncRenames() {
		d.keepDeleted(due)
		return
	}
	for _, x := range due {
		err := d.host.fs.RemoveAll(x.path)
		if vfs.OutOfFiles(err) {
			d.limited(err)
			d.keepDeleted([]deletedLog{x}) // for the next retention check
			continue
		}
		if err != nil {
			d.host.log.Warn("folder of a deleted partition not removed: the next start tries again", "path", x.path, "error", err)
		}
	}
}

// keepDeleted leaves folders to a later removal.
func (d *logDir) keepDeleted(list []deletedLog) {
	d.deletedMu.Lock()
	defer d.deletedMu.Unlock()
	d.deleted = append(d.deleted, list...)
}

// syncRenames makes up for the syncs that renameDeleted could not do.
func (d *logDir) syncRenames() (done bool) {
	err := d.host.fs.SyncDir(d.host.dir)
	switch {
	case vfs.OutOfFiles(err):
		d.limited(err)
		return false
	case err != nil:
		d.fail(err)
		return false
	}
	d.deletedMu.Lock()
	defer d.deletedMu.Unlock()
	d.renamesDue = false
	return true
}
