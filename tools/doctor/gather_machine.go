package doctor

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How a disk is measured: so many small writes, each synced; less when it is slow.
const (
	syncRounds  = 20
	syncBytes   = 4096
	syncAtMost  = 3 * time.Second
	tmpfsMagic  = 0x01021994
	clockUnsync = 0x40 // STA_UNSYNC of adjtimex
)

// gatherMachine looks at this machine, when it is the broker's: its clock, its limits and
// the log directories.
func (o *options) gatherMachine(f *facts) {
	if !o.local() {
		return
	}
	if f.clock == nil {
		f.clock = &clockFacts{}
	}
	var state unix.Timex
	if _, err := unix.Adjtimex(&state); err == nil {
		f.clock.unsynced, f.clock.unsyncedSeen = state.Status&clockUnsync != 0, true
	}
	if f.process == nil {
		var limit unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
			f.process = &processFacts{whose: "a broker that is started here", maxFDs: float64(limit.Max)}
			delete(f.skipped, "limits")
		}
	}
	if text, err := os.ReadFile("/proc/sys/vm/max_map_count"); err == nil && f.process != nil {
		f.process.maxMaps, _ = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
	for i := range f.dirs {
		delete(f.skipped, "disk")
		measureDir(&f.dirs[i], o.noWrite)
	}
}

// local says whether the broker runs on this machine.
func (o *options) local() bool {
	if o.file != "" {
		return true
	}
	host, _, err := net.SplitHostPort(strings.Split(o.bootstrap, ",")[0])
	return err == nil && isLoopback(host)
}

// measureDir fills in what the file system says, and how long a sync takes.
func measureDir(d *dirFacts, noWrite bool) {
	var volume unix.Statfs_t
	if err := unix.Statfs(d.path, &volume); err != nil {
		if errors.Is(err, fs.ErrNotExist) || d.err != "" {
			return // not there yet: the broker makes it
		}
		d.err = err.Error()
		return
	}
	d.total, d.free = int64(volume.Blocks)*volume.Bsize, int64(volume.Bavail)*volume.Bsize
	d.files, d.freeFiles = int64(volume.Files), int64(volume.Ffree)
	d.memory = volume.Type == tmpfsMagic
	if noWrite || d.err != "" {
		return
	}
	if err := measureSyncs(d); err != nil && !errors.Is(err, fs.ErrPermission) {
		d.err = err.Error()
	}
}

func measureSyncs(d *dirFacts) error {
	file, err := os.CreateTemp(d.path, ".doctor-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, syncBytes)
	var took []time.Duration
	for began := time.Now(); len(took) < syncRounds && time.Since(began) < syncAtMost; {
		if _, err := file.Write(block); err != nil {
			return err
		}
		start := time.Now()
		if err := file.Sync(); err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	d.syncs, d.syncP50, d.syncWorst = len(took), took[len(took)/2], took[len(took)-1]
	return nil
}
