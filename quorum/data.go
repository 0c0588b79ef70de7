package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/vfs"
	"github.com/millrace/millrace/quorum/zoocfg"
)

// DataError says that a folder cannot be used as it is.
type DataError struct {
	Key, Dir string
	Err      error
}

func (e *DataError) Error() string { return fmt.Sprintf("%s=%s: %v", e.Key, e.Dir, e.Err) }
func (e *DataError) Unwrap() error { return e.Err }

// initializeFile is what zkServer-initialize.sh leaves for a server whose configuration says
// zookeeper.db.autocreate=false: without it, a member that finds no data was wiped, and must
// not begin anew as if it had never voted.
const initializeFile = "initialize"

// prepareData judges the folders before anything is opened.
func prepareData(fsys vfs.FS, c *zoocfg.Config) error {
	dirs := []struct{ key, dir string }{{"dataDir", c.DataDir}}
	if c.DataLogDir != c.DataDir {
		dirs = append(dirs, struct{ key, dir string }{"dataLogDir", c.DataLogDir})
	}
	fresh := true
	for _, d := range dirs {
		there, err := isFolder(fsys, d.dir)
		if err == nil && !there && !c.CreateDirs {
			err = errors.New("it is missing, and zookeeper.datadir.autocreate=false: make it, or correct the key")
		}
		if err != nil {
			return &DataError{d.key, d.dir, err}
		}
		ours, err := isFolder(fsys, filepath.Join(d.dir, zoocfg.Folder))
		if err != nil {
			return &DataError{d.key, d.dir, err}
		}
		fresh = fresh && !ours
	}
	if !fresh {
		return nil
	}
	for _, d := range dirs {
		if file := apacheData(fsys, d.dir); file != "" {
			return &DataError{d.key, d.dir, fmt.Errorf("%s is data of Apache ZooKeeper: take it over with \"millrace quorum import --from %s --to %s\", or move version-2 away to begin empty", file, d.dir, c.DataDir)}
		}
	}
	if !c.CreateData {
		if _, err := fsys.Stat(filepath.Join(c.DataDir, initializeFile)); err != nil {
			return &DataError{"dataDir", c.DataDir, errors.New("there is no data, and zookeeper.db.autocreate=false: if this server is a new one, run zkServer-initialize.sh; if its data was lost, give it another id and add that to the ensemble by reconfig")}
		}
	}
	return nil
}

// settleData is called when the member runs: the marker was for this one time.
func settleData(fsys vfs.FS, c *zoocfg.Config) error {
	name := filepath.Join(c.DataDir, initializeFile)
	if _, err := fsys.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := fsys.Remove(name); err != nil {
		return err
	}
	return fsys.SyncDir(c.DataDir)
}

// SetAside moves the data of a server away, whose state is not that of its ensemble any more, to
// be looked at: it then joins as one that has none. It is called after Close, and returns the
// new names.
func SetAside(fsys vfs.FS, c *zoocfg.Config, suffix string) ([]string, error) {
	var moved []string
	for _, dir := range slices.Compact([]string{c.DataDir, c.DataLogDir}) {
		from := filepath.Join(dir, zoocfg.Folder)
		to := from + suffix
		if err := fsys.Rename(from, to); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return moved, err
		}
		moved = append(moved, to)
		if err := fsys.SyncDir(dir); err != nil {
			return moved, err
		}
	}
	return moved, nil
}

func isFolder(fsys vfs.FS, name string) (bool, error) {
	info, err := fsys.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, errors.New("it is a file: name a folder")
	}
	return true, nil
}

// apacheData is a snapshot or log of Apache ZooKeeper in dir, "" if there is none.
func apacheData(fsys vfs.FS, dir string) string {
	folder := filepath.Join(dir, "version-2")
	entries, err := fsys.ReadDir(folder)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "snapshot.") || strings.HasPrefix(e.Name(), "log.") {
			return filepath.Join(folder, e.Name())
		}
	}
	return ""
}

// folderBytes is the size of all files below dir; what cannot be read counts nothing.
func folderBytes(fsys vfs.FS, dir string) int64 {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return 0
	}
	var sum int64
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if e.IsDir() {
			sum += folderBytes(fsys, name)
		} else if info, err := e.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// unsynced is a file system whose syncs do nothing: forceSync=no.
type unsynced struct{ vfs.FS }

func (u unsynced) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := u.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

func (unsynced) SyncDir(string) error { return nil }

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error     { return nil }
func (unsyncedFile) SyncData() error { return nil }
