package raftlog

import (
	"errors"
	"os"
	"path"
	"sync"

	"github.com/millrace/millrace/internal/vfs"
)

// reserve is a file that only takes space. It is removed when the disk is full, and made
// again when there is room.
type reserve struct {
	fs   vfs.FS
	name string
	want int64

	mu   sync.Mutex
	have bool
	used bool // it was removed since it was last had
}

func newReserve(o Options) *reserve {
	return &reserve{fs: o.FS, name: path.Join(o.Dir, reserveFile), want: o.ReserveBytes}
}

// take makes the file, if it has room. Where it does not, that is no failure: a start on a
// full disk goes on without.
func (r *reserve) take() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.have || r.want <= 0 {
		return
	}
	f, err := r.fs.OpenFile(r.name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	err = errors.Join(f.Allocate(0, r.want), f.Close())
	if err != nil {
		_ = r.fs.Remove(r.name) // it would only take space
		r.used = true
		return
	}
	r.have, r.used = true, false
}

// use gives the space back to the disk and tells whether there was any.
func (r *reserve) use() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.fs.Remove(r.name)
	had := err == nil
	r.have, r.used = false, r.used || had
	return had
}

func (r *reserve) inUse() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}
