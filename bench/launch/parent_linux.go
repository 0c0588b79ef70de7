package launch

import (
	"os/exec"
	"runtime"
	"syscall"
)

// tieToParent lets the child end when this process does, however it ends, and keeps the
// terminal's Ctrl-C from it: the caller stops it when the measurement has been written
// down. It locks the calling goroutine to its thread until unlock is called, because the
// kernel sends the signal when that thread ends.
func tieToParent(cmd *exec.Cmd) (unlock func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
