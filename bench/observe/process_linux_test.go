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

// What the kernel counts as reads and writes, so that SyscallsBy says it right.
func TestReadWriteCalls(t *testing.T) {
	src, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	counted := func(call func() error) (n float64) {
		const calls = 1000
		from, err := readWriteCalls(os.Getpid())
		if err != nil {
			t.Skip(err) // a container may forbid it
		}
		for range calls {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
		to, err := readWriteCalls(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return float64(to-from) / calls
	}
	one := []byte("x")
	for what, c := range map[string]struct {
		call func() error
		want float64
	}{
		"pwrite": {func() error { _, err := unix.Pwrite(int(src.Fd()), one, 0); return err }, 1},
		"pread":  {func() error { _, err := unix.Pread(int(src.Fd()), one, 0); return err }, 1},
		"writev": {func() error { _, err := unix.Writev(int(dst.Fd()), [][]byte{one, one}); return err }, 1},
		"sendfile": {func() error {
			at := int64(0)
			_, err := unix.Sendfile(int(dst.Fd()), int(src.Fd()), &at, 1)
			return err
		}, 2},
		"getppid": {func() error { _ = unix.Getppid(); return nil }, 0},
	} {
		if n := counted(c.call); n < c.want || n > c.want+.2 {
			t.Errorf("%s counts as %g calls, want %g", what, n, c.want)
		}
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
