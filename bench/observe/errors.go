package observe

import "fmt"

// RemoteError is an address of another machine: its processes cannot be seen from here.
type RemoteError struct{ Address string }

func (e *RemoteError) Error() string {
	return fmt.Sprintf("%s is not an address of this machine, so the server's CPU time and memory cannot be read: run the bench beside it, or do without", e.Address)
}

// NoListenerError is a local address that nothing listens on.
type NoListenerError struct{ Address string }

func (e *NoListenerError) Error() string {
	return fmt.Sprintf("no process of this network namespace listens on %s: is the server up, or in a container? Give its process id instead", e.Address)
}

// HiddenError is a listener whose process this user may not see, or that is only a proxy.
type HiddenError struct{ Address, Why string }

func (e *HiddenError) Error() string {
	return fmt.Sprintf("the process that listens on %s cannot be told: %s: run as its user or as root, or give its process id", e.Address, e.Why)
}

// ProcessError is a process whose counters cannot be read.
type ProcessError struct {
	PID  int
	What string
	Err  error
}

func (e *ProcessError) Error() string {
	return fmt.Sprintf("%s of process %d: %v", e.What, e.PID, e.Err)
}

// Unwrap returns the cause.
func (e *ProcessError) Unwrap() error { return e.Err }

// AdminError is an admin port that did not answer as one.
type AdminError struct {
	Address string
	Err     error
}

func (e *AdminError) Error() string {
	return fmt.Sprintf("the admin port %s: %v (Millrace's is set by admin.listener; leave it out for other servers)", e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *AdminError) Unwrap() error { return e.Err }

// UnsupportedError is something that only Linux tells.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string {
	return e.What + " can be read on Linux only"
}
