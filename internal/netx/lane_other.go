//go:build !linux

package netx

import (
	"errors"
	"net"
	"syscall"

	"github.com/millrace/millrace/internal/clock"
)

// lane is a lane of a system that has none.
type lane struct{ counters }

func newLane(clock.Clock) *lane                         { return &lane{} }
func (l *lane) open() error                             { return ErrNoLane }
func (l *lane) close()                                  {}
func (l *lane) enter(*stay)                             {}
func (l *lane) ask(*stay)                               {}
func (l *lane) netConn(int) (net.Conn, error)           { return nil, ErrNoLane }
func duplicate(syscall.RawConn) (int, error)            { return -1, ErrNoLane }
func closeDescriptor(int)                               {}
func (c *Conn) WriteNow([]byte) (int, error)            { return 0, errors.ErrUnsupported }
func (c *Conn) WritePiecesNow(v Pieces) (Pieces, error) { return v, errors.ErrUnsupported }
func (c *Conn) ReadNow([]byte) (int, bool, error)       { return 0, false, errors.ErrUnsupported }
