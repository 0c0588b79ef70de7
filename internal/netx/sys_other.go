//go:build !linux

package netx

import "errors"

const haveSyscalls = false

type iovecs struct{}

func setCongestion(uintptr, string) error { return errors.ErrUnsupported }
func congestion(uintptr) (string, error)  { return "", errors.ErrUnsupported }

func (r *readOp) do(uintptr) bool        { return true }
func (w *writeOp) send(uintptr) bool     { return true }
func (w *writeOp) vector(uintptr) bool   { return true }
func (w *writeOp) all(uintptr) bool      { return true }
func (w *writeOp) try(uintptr) bool      { return true }
func (w *writeOp) sendfile(uintptr) bool { return true }
func (w *writeOp) cork(uintptr)          {}
