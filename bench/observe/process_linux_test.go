package observe

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// The CPU clock against getrusage, which rounds to microseconds and may be a tick behind.
func TestCPUAgainstRusage(t *testing.T) {
	used := func() time.Duration {
		var r unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
			t.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	const tick = 20 * time.Millisecond
	for end := used() + 50*time.Millisecond; used() < end; {
	}
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	between := used()
	after, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if between < before-tick || between > after+tick {
		t.Errorf("getrusage says %v, the clock %v before it and %v after", between, before, after)
	}
}

// A process that was ended and waited for has no clock any more; its child's is its own.
func TestCPUOfOthers(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	if d, err := CPU(cmd.Process.Pid); err != nil || d < 0 || d > time.Minute {
		t.Errorf("a child has used %v, %v", d, err)
	}
	w, err := Open(Options{PID: cmd.Process.Pid})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := w.Sample(); err != nil || s.Mallocs != -1 || s.Syscalls <= 0 {
		t.Errorf("a child that is no Go program: %+v, %v", s, err)
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Sample(); !errors.Is(err, unix.ESRCH) {
		t.Errorf("a process that ended: %v", err)
	}
	done := make(chan struct{})
	go func() { defer close(done); w.Poll(t.Context(), time.Hour) }() // ends by itself
	<-done
}

func TestTracerCountsEveryCall(t *testing.T) {
	tr := newTracer(os.Getpid())
	if tr == nil {
		t.Skip("the kernel does not permit tracepoints here")
	}
	defer tr.close()
	from, err := tr.count()
	if err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const calls = 5000
	for range calls {
		_ = unix.Getppid() // counted by no other counter
	}
	to, err := tr.count()
	if err != nil {
		t.Fatal(err)
	}
	if to-from < calls || to-from > 2*calls {
		t.Errorf("%d calls were counted, want %d and a few", to-from, calls)
	}
}

func TestFileSystem(t *testing.T) {
	mounts := []*procfs.MountInfo{
		{MountPoint: "/", FSType: "ext4", Options: map[string]string{"rw": "", "relatime": ""}, SuperOptions: map[string]string{"rw": "", "commit": "30"}},
		{MountPoint: "/data", FSType: "xfs", Options: map[string]string{"ro": ""}},
		{MountPoint: "/data", FSType: "overlay", Options: map[string]string{"rw": "", "noatime": ""}, SuperOptions: map[string]string{"upperdir": "/home/somebody/x"}},
		{MountPoint: "/database", FSType: "tmpfs"},
	}
	for dir, want := range map[string]string{
		"/var/none": "ext4 commit=30,relatime,rw", "/data": "overlay noatime,rw", "/data/none/x": "overlay noatime,rw", "/database/none": "tmpfs", "/databases-none": "ext4 commit=30,relatime,rw",
	} {
		if got := fileSystem(mounts, dir); got != want {
			t.Errorf("%s lies on %q, want %q", dir, got, want)
		}
	}
	if got := fileSystem(nil, "/"); got != "" {
		t.Errorf("without mounts: %q", got)
	}
}
