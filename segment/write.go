package segment

import (
	"runtime/debug"
)

// Sizes of the append path; docs/adr/0002-active-segment-append.md has the measurements.
const (
	// firstStepBytes to maxStepBytes: how much space is taken at once.
	firstStepBytes = 64 << 10
	maxStepBytes   = 64 << 20
	// mappedBelowBytes: smaller appends are copied into the mapping, others go by WriteAt.
	mappedBelowBytes = 8 << 10
	// populateBytes is how far ahead the mapping is faulted in for writing.
	populateBytes = 1 << 20
	pageBytes     = 4 << 10
	// firstZeroBytes to maxZeroBytes: how far ahead zeros are written for appends of at most
	// zeroBelowBytes that each wait for a sync (ADR 13).
	firstZeroBytes = 64 << 10
	maxZeroBytes   = 1 << 20
	zeroBelowBytes = 64 << 10
)

// allocate takes space up to end and a step beyond, so that the next appends need none.
// When the disk has no room for the step it takes what b needs. A full disk changes
// nothing.
func (s *segment) allocate(h *files, end int64) error {
	step := min(max(s.stepBytes*2, firstStepBytes), maxStepBytes)
	if s.c.cfg.Preallocate {
		step = max(step, s.c.cfg.SegmentBytes)
	}
	target := min(max(s.allocated+step, end), max(s.c.cfg.SegmentBytes, end))
	err := h.log.Allocate(s.allocated, target-s.allocated)
	if err != nil && IsDiskFull(err) && target > end {
		target = end
		err = h.log.Allocate(s.allocated, target-s.allocated)
	}
	if err != nil {
		return err
	}
	s.allocated, s.stepBytes = target, step
	return nil
}

// zeroAhead writes zeros behind position, up to end and a step beyond, into space that is
// taken. A sync of bytes that were never written has to record in the file system's journal
// that they are now; where zeros lie it has the bytes to write and nothing else.
func (s *segment) zeroAhead(h *files, position, end int64) error {
	s.zeroStepBytes = min(max(2*s.zeroStepBytes, firstZeroBytes), maxZeroBytes)
	from := max(s.zeroed, position)
	to := max(min(from+s.zeroStepBytes, s.allocated), end)
	file := h.log
	if h.gather != nil {
		file = h.gather.File // what is kept back lies before
	}
	for at := from; at < to; {
		n, err := file.WriteAt(zeros[:min(int64(len(zeros)), to-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	s.zeroed = to
	return nil
}

var zeros [128 << 10]byte

// put stores b at position, which has space: through the mapping when b is small, by
// WriteAt to the same file (there is one page cache) when it is large or there is no
// mapping. Where a sync follows, it may be left to that sync.
func (s *segment) put(h *files, b []byte, position int64, syncFollows bool) error {
	end := position + int64(len(b))
	if syncFollows && h.gather != nil && len(b) < gatherBelowBytes {
		return h.gather.add(b, position)
	}
	if len(b) < mappedBelowBytes && end <= int64(len(h.mem)) && (end <= s.populated || s.populate(h, position, end)) {
		copy(h.mem[position:end], b)
		return nil
	}
	_, err := h.log.WriteAt(b, position)
	return err
}

// populate faults the next window in, so that stores meet no fault: a fault is slow, holds
// a processor while it waits and is a signal when the disk fails. It reports false when the
// kernel refuses: WriteAt then finds the reason.
func (s *segment) populate(h *files, position, end int64) bool {
	from := max(s.populated, position&^(pageBytes-1))
	to := min(max(from+populateBytes, end), s.allocated, int64(len(h.mem)))
	if to < end || h.mapping.Populate(from, to-from) != nil {
		return false
	}
	s.populated = to
	return true
}

// mapAhead maps the address space of a whole segment, which costs no memory. Without a
// mapping (too many of them, say) appends go by WriteAt.
func (s *segment) mapAhead(h *files) {
	if s.c.cfg.SyncEveryAppend {
		h.gatherAppends()
		return
	}
	if s.c.o.Mode != Mapped {
		return
	}
	if m, err := h.log.Map(max(s.c.cfg.SegmentBytes, pageBytes), true); err == nil {
		h.mapping, h.mem = m, m.Bytes()
	}
}

// gatherAppends lets appends that a sync follows be kept back.
func (h *files) gatherAppends() {
	h.gather = newGather(h.log, &h.s.c.lost)
	h.log = h.gather
}

func setPanicOnFault(on bool) bool { return debug.SetPanicOnFault(on) }

// guard is deferred around whatever touches a mapping: a fault becomes a *FaultError. old
// is what setPanicOnFault returned.
func guard(h *files, old bool, err *error) {
	debug.SetPanicOnFault(old)
	r := recover()
	if r == nil {
		return
	}
	fault, ok := r.(interface{ Addr() uintptr })
	if !ok {
		panic(r)
	}
	*err = &FaultError{Name: h.log.Name(), Addr: fault.Addr()}
}
