package quorum

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/bench/hist"
	"github.com/millrace/millrace/bench/launch"
	"github.com/millrace/millrace/bench/observe"
	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/bench/wire"
)

// event measures what kills and starts servers: each value is a duration, or an amount.
type event struct {
	sc     scenario
	name   string
	rounds int
	phase  func(string)
}

func (e *event) measure(ctx context.Context, s *side) (result.Run, error) {
	run := result.Run{Name: e.name, Group: "quorum", Target: strings.Join(s.addresses, ","), Client: "raw", Started: time.Now()}
	h := hist.New()
	var err error
	switch e.sc.kind {
	case kindFailover:
		err = e.failover(ctx, s, h)
	case kindRestart:
		err = e.restart(ctx, s, h)
	case kindMemory:
		err = e.memory(ctx, s, &run)
	}
	run.Uncorrected, run.SteadyS = h.Latency(), time.Since(run.Started).Seconds()
	run.Requests, run.Records = h.Count(), h.Count()
	return run, err
}

// failoverLimit is the longest wait for a new leader.
const failoverLimit = time.Minute

// failover kills the leader and takes the time until another server acknowledges a write.
func (e *event) failover(ctx context.Context, s *side, h *hist.Histogram) error {
	members := s.running.Members
	if len(members) < 3 {
		return fmt.Errorf("%s takes three servers, not %d", e.sc.name, len(members))
	}
	if err := prepare(ctx, members[0].Address, scenario{conns: 1, op: opSet}); err != nil {
		return err
	}
	for round := range e.rounds {
		e.phase(fmt.Sprintf("leader %d of %d", round+1, e.rounds))
		var leader *launch.Member
		var others []string
		for _, m := range members {
			if m.Mode() == "leader" {
				leader = m
			} else {
				others = append(others, m.Address)
			}
		}
		if leader == nil {
			return errors.New("no server says that it is the leader")
		}
		began := time.Now()
		leader.Kill()
		after, err := firstWrite(ctx, others, began)
		if err != nil {
			return err
		}
		h.Record(after.Nanoseconds())
		if err := leader.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// firstWrite asks all addresses over and over, and returns when one of them took a write.
func firstWrite(ctx context.Context, addresses []string, began time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, failoverLimit, fmt.Errorf("no write was taken within %v", failoverLimit))
	defer cancel()
	took := make(chan time.Duration, len(addresses))
	for _, a := range addresses {
		go func() {
			for ctx.Err() == nil {
				if writeOnce(ctx, a) == nil {
					took <- time.Since(began)
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(2 * time.Millisecond):
				}
			}
		}()
	}
	select {
	case d := <-took:
		return d, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func writeOnce(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := openSession(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = s.c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = s.c.Close() })
	defer stop()
	return s.set(nodeOf(0), value(100))
}

// fill makes sc.znodes nodes.
func (e *event) fill(ctx context.Context, address string) error {
	sc := e.sc
	sc.op, sc.conns, sc.depth = opCreate, 64, 16
	if err := prepare(ctx, address, sc); err != nil {
		return err
	}
	e.phase("znodes")
	each := int64(sc.znodes / sc.conns)
	f := newFrames(sc, 0, each)
	var fail wire.Failure
	_, err := wire.Run(ctx, wire.Load{
		Address: address, Connections: sc.conns, Depth: sc.depth, Frame: f.frame, OnReply: check(&fail), Failure: &fail, HeadBytes: headBytes,
		MaxRequests: (each + 1) * int64(sc.conns),
	})
	return err
}

// restart kills the server and takes the time until it answers a read, from the start of
// its process.
func (e *event) restart(ctx context.Context, s *side, h *hist.Histogram) error {
	m := s.running.Members[0]
	if err := e.fill(ctx, m.Address); err != nil {
		return err
	}
	for range e.rounds {
		e.phase("restart")
		m.Kill()
		began := time.Now()
		if err := m.Start(ctx); err != nil {
			return err
		}
		c, err := openSession(ctx, m.Address)
		if err != nil {
			return err
		}
		err = c.get(nodeOf(0))
		h.Record(time.Since(began).Nanoseconds())
		c.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// memory takes what a server's memory grew by: of a JVM its heap after a collection, which
// jcmd tells, and of all the anonymous memory of the process, which is what the machine is
// short of.
func (e *event) memory(ctx context.Context, s *side, run *result.Run) error {
	m := s.running.Members[0]
	e.phase("memory")
	before, err := used(ctx, m.PID())
	if err != nil {
		return err
	}
	if err := e.fill(ctx, m.Address); err != nil {
		return err
	}
	after, err := used(ctx, m.PID())
	if err != nil {
		return err
	}
	each := func(after, before int64) int64 { return (after - before) / int64(e.sc.znodes) }
	run.Note = fmt.Sprintf("%d bytes of anonymous memory for each znode, %.1f MiB before them", each(after.anonymous, before.anonymous), float64(before.anonymous)/(1<<20))
	if after.heap > 0 {
		run.Note = fmt.Sprintf("%d bytes of heap after a collection for each znode; ", each(after.heap, before.heap)) + run.Note
	}
	run.Broker = &result.Cost{RSSAnonBytes: after.anonymous - before.anonymous}
	return nil
}

// memoryUse is what a process holds, in bytes.
type memoryUse struct {
	anonymous int64
	heap      int64 // what is alive in a JVM's; 0: none
}

// used lets a JVM collect its garbage first, so that its anonymous memory is what it keeps.
func used(ctx context.Context, pid int) (u memoryUse, err error) {
	if exe, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); filepath.Base(exe) == "java" {
		if u.heap, err = javaHeap(ctx, pid); err != nil {
			return u, err
		}
	}
	w, err := observe.Open(observe.Options{PID: pid})
	if err != nil {
		return u, err
	}
	defer w.Close()
	sample, err := w.Sample()
	u.anonymous = sample.RSSAnon
	return u, err
}

func javaHeap(ctx context.Context, pid int) (int64, error) {
	id := strconv.Itoa(pid)
	if out, err := exec.CommandContext(ctx, "jcmd", id, "GC.run").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("jcmd %s GC.run: %w: %s", id, err, out)
	}
	out, err := exec.CommandContext(ctx, "jcmd", id, "GC.heap_info").Output()
	if err != nil {
		return 0, fmt.Errorf("jcmd %s GC.heap_info: %w", id, err)
	}
	return heapInfo(string(out))
}

// heapInfo adds up the generations of "GC.heap_info": lines with "total 456K, used
// 123K". Those of the metaspace have no total.
func heapInfo(text string) (int64, error) {
	var kib int64
	found := false
	for line := range strings.Lines(text) {
		_, rest, ok := strings.Cut(line, ", used ")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(rest[:max(strings.IndexByte(rest, 'K'), 0)]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("GC.heap_info says %q", strings.TrimSpace(line))
		}
		kib, found = kib+n, true
	}
	if !found {
		return 0, fmt.Errorf("GC.heap_info says %q", text)
	}
	return kib << 10, nil
}
