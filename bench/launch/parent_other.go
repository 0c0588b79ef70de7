//go:build !linux

package launch

import "os/exec"

// tieToParent does nothing here: a child that outlives a killed parent is ended by hand.
func tieToParent(*exec.Cmd) (unlock func()) { return func() {} }
