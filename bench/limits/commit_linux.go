package limits

import (
	"hash/crc32"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter is a connection with the number of its requests that wait for one sync.
type waiter struct {
	c        *conn
	requests int
}

// committer appends what all connections sent by one write a round, and answers after an
// fdatasync that all of them share.
type committer struct {
	way     string
	seg     *segment
	table   *crc32.Table
	offset  int64
	rounds  int64
	batches []byte   // of the round, not yet written
	waiting []waiter // of the round
	told    []waiter // by the other thread, in wayRelay
	replies []byte   // as many as a connection ever got at once; of whoever answers

	// The rest is shared with the other thread, under mu; work tells it that written is not
	// empty. done is what it synced, for wayRelay.
	mu      sync.Mutex
	work    sync.Cond
	written []waiter
	done    []waiter
	wake    int
	// file is held while a sync is under way, so that a roll does not close under it.
	file sync.Mutex
}

func newCommitter(s *server, sealed func(string)) (handler, error) {
	h := &committer{way: s.j.Way, table: castagnoli()}
	h.work.L = &h.mu
	h.seg = &segment{dir: s.j.Dir, sizeBytes: s.j.SegmentBytes, sealed: sealed, timing: s.ring, raw: true}
	if err := h.seg.roll(); err != nil {
		return nil, err
	}
	if h.way != wayInline {
		go func() { s.out.failed(h.sync()) }()
	}
	if h.way == wayRelay {
		return &relayed{h}, nil
	}
	return h, nil
}

func (h *committer) serve(c *conn, request []byte) error {
	batch, err := check(request, h.offset, h.table)
	if err != nil {
		return err
	}
	h.offset++
	h.batches = append(h.batches, batch...)
	if c.round != h.rounds {
		c.round, c.waiter = h.rounds, len(h.waiting)
		h.waiting = append(h.waiting, waiter{c: c})
	}
	h.waiting[c.waiter].requests++
	return nil
}

func (h *committer) round() error {
	h.rounds++
	if len(h.waiting) == 0 {
		return nil
	}
	if err := h.write(); err != nil {
		return err
	}
	if h.way == wayInline {
		if err := fdatasync(h.seg.fd); err != nil {
			return err
		}
		err := h.answer(h.waiting)
		h.waiting = h.waiting[:0]
		return err
	}
	h.mu.Lock()
	h.written = append(h.written, h.waiting...)
	h.mu.Unlock()
	h.work.Signal()
	h.waiting = h.waiting[:0]
	return nil
}

// write appends the round's batches. A file that would overflow is synced before it is left,
// so that the other thread's sync of the next one covers everything.
func (h *committer) write() error {
	if h.seg.position+int64(len(h.batches)) > h.seg.sizeBytes {
		h.file.Lock()
		defer h.file.Unlock()
		if err := fdatasync(h.seg.fd); err != nil {
			return err
		}
	}
	err := h.seg.append(h.batches)
	h.batches = h.batches[:0]
	return err
}

// sync is the other thread.
func (h *committer) sync() error {
	var batch []waiter
	for {
		h.mu.Lock()
		for len(h.written) == 0 {
			h.work.Wait()
		}
		batch, h.written = h.written, batch[:0]
		h.mu.Unlock()
		h.file.Lock()
		err := fdatasync(h.seg.fd)
		h.file.Unlock()
		if err != nil {
			return err
		}
		if h.way == waySyncer {
			if err := h.answer(batch); err != nil {
				return err
			}
			continue
		}
		h.mu.Lock()
		h.done = append(h.done, batch...)
		h.mu.Unlock()
		one := [8]byte{0: 1}
		if _, err := unix.Write(h.wake, one[:]); err != nil {
			return err
		}
	}
}

// relayed is a committer whose loop answers, told by the thread that syncs.
type relayed struct{ *committer }

func (h *relayed) wakeBy(eventfd int) { h.wake = eventfd }

func (h *relayed) woken() error {
	h.mu.Lock()
	h.told, h.done = h.done, h.told[:0]
	h.mu.Unlock()
	return h.answer(h.told)
}

// answer sends the replies of a sync, one write for each connection. They are small against
// a socket's buffer: one that does not take them belongs to a client that does not read.
func (h *committer) answer(waiters []waiter) error {
	for _, w := range waiters {
		for len(h.replies) < w.requests*produceReplyBytes {
			h.replies = appendReply(h.replies, 0)
		}
		b := h.replies[:w.requests*produceReplyBytes]
		_, errno := w.c.call(unix.SYS_SENDTO, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0, unix.EPIPE, unix.ECONNRESET, unix.EBADF, unix.ENOTSOCK: // the client is gone
		default:
			return errno
		}
	}
	return nil
}

// fdatasync lets the scheduler know: others run meanwhile.
func fdatasync(fd int) error {
	for {
		if err := unix.Fdatasync(fd); err != unix.EINTR {
			return err
		}
	}
}
