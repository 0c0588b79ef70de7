package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/internal/seededbug"
	"github.com/millrace/millrace/internal/vfs"
)

// Names of the files in a log directory, and of those in a partition's directory.
const (
	RecoveryPointFile     = "recovery-point-offset-checkpoint"
	LogStartFile          = "log-start-offset-checkpoint"
	HighWatermarkFile     = "replication-offset-checkpoint"
	CleanerFile           = "cleaner-offset-checkpoint"
	MetaPropertiesFile    = "meta.properties"
	CleanShutdownFile     = ".kafka_cleanshutdown"
	LockFile              = ".lock"
	LeaderEpochFile       = "leader-epoch-checkpoint"
	PartitionMetadataFile = "partition.metadata"
)

// MaxFileBytes bounds what Load takes into memory: a checkpoint line is at most some 300
// bytes, so this is room for several hundred thousand partitions.
const MaxFileBytes = 256 << 20

// Load returns a file's contents. An absent file is an error that wraps fs.ErrNotExist.
func Load(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > MaxFileBytes {
		return nil, &FormatError{File: name, Reason: fmt.Sprintf("%d bytes are more than any such file has", size)}
	}
	buf := make([]byte, size)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return buf[:n], nil
}

// Replace makes data the contents of name, durably and atomically: a temporary file beside
// it is written, synced and renamed, and the folder is synced. After an error the old
// contents are still in place, unless only the folder's sync failed.
func Replace(fsys vfs.FS, name string, data []byte) error {
	tmp := name + ".tmp"
	if err := writeSynced(fsys, tmp, data); err != nil {
		removeErr := fsys.Remove(tmp)
		if removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			return errors.Join(err, removeErr)
		}
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	if seededbug.On(seededbug.NoDirSync) {
		return nil
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys vfs.FS, name string, data []byte) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return f.Close()
}

// FormatError says that a file is not what its name promises.
type FormatError struct {
	File   string // its kind, or its path where known
	Line   int    // from 1; 0 when it concerns the whole file
	Reason string
}

func (e *FormatError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s, line %d: %s", e.File, e.Line, e.Reason)
	}
	return fmt.Sprintf("%s: %s", e.File, e.Reason)
}
