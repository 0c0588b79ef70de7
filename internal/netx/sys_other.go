//go:build !linux

package netx

const haveSyscalls = false

func (r *readOp) do(uintptr) bool        { return true }
func (w *writeOp) send(uintptr) bool     { return true }
func (w *writeOp) sendfile(uintptr) bool { return true }
