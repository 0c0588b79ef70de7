package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/testkit/zkserver"
)

// clients is the number by which the network knows all clients.
const clients = 0

// fault is one thing that happens. It returns when it is over, but for the rules of the
// network, which are taken away behind it.
type fault struct {
	name string
	run  func(ctx context.Context, w *world) error
}

func faults() []fault {
	return []fault{
		{"cut two servers apart", func(ctx context.Context, w *world) error {
			a, b := w.two()
			w.cut(ctx, func() { w.net.SetBoth(a, b, Rule{Hold: true}) }, a, b)
			return nil
		}},
		{"cut one way between two servers", func(ctx context.Context, w *world) error {
			a, b := w.two()
			w.cut(ctx, func() { w.net.Set(a, b, Rule{Hold: true}) }, a, b)
			return nil
		}},
		{"the leader is alone", func(ctx context.Context, w *world) error {
			return w.aroundLeader(ctx, func(l, o int) { w.net.SetBoth(l, o, Rule{Hold: true}) })
		}},
		{"the leader is deaf", func(ctx context.Context, w *world) error {
			return w.aroundLeader(ctx, func(l, o int) { w.net.Set(o, l, Rule{Hold: true}) })
		}},
		{"the leader is mute", func(ctx context.Context, w *world) error {
			return w.aroundLeader(ctx, func(l, o int) { w.net.Set(l, o, Rule{Hold: true}) })
		}},
		{"a follower is mute", func(ctx context.Context, w *world) error {
			a, b := w.two()
			w.cut(ctx, func() {
				for _, s := range w.e.Servers {
					w.net.Set(a, s.ID, Rule{Hold: true})
				}
			}, a, b)
			return nil
		}},
		{"a slow link", func(ctx context.Context, w *world) error {
			a, b := w.two()
			w.net.SetBoth(a, b, Rule{Delay: time.Duration(1+w.rng.IntN(40)) * time.Millisecond, Piece: 1 + w.rng.IntN(3000)})
			w.last(ctx, w.while())
			return nil
		}},
		{"connections break", func(ctx context.Context, w *world) error {
			a, b := w.two()
			for range 6 {
				w.net.Reset(a, b)
				w.net.Reset(clients, a)
				w.last(ctx, time.Duration(50+w.rng.IntN(200))*time.Millisecond)
			}
			return nil
		}},
		{"the leader refuses", func(ctx context.Context, w *world) error {
			return w.aroundLeader(ctx, func(l, o int) {
				w.net.SetBoth(l, o, Rule{Refuse: true})
				w.net.Reset(l, o)
			})
		}},
		{"clients lose a server", func(ctx context.Context, w *world) error {
			a, _ := w.two()
			w.cut(ctx, func() { w.net.SetBoth(clients, a, Rule{Hold: true}) }, clients, a)
			return nil
		}},
		{"kill -9 of the leader", func(_ context.Context, w *world) error {
			l, err := w.e.Leader()
			if err != nil {
				return err
			}
			if err := l.Kill(); err != nil {
				return err
			}
			if _, err := w.e.Leader(); err != nil {
				return err
			}
			return l.Start()
		}},
		{"a server loses its disk", func(_ context.Context, w *world) error {
			a, _ := w.two()
			s := w.e.Servers[a-1]
			if err := errors.Join(s.Kill(), s.Wipe(), s.Start()); err != nil {
				return err
			}
			// It is another server now, and has no vote until it has caught up.
			if !strings.Contains(s.Log(), "it joins anew") {
				return fmt.Errorf("server %d takes itself for the one whose data is gone; its log ends with:\n%s", a, s.Log())
			}
			testkit.WaitFor(w.t, fmt.Sprintf("the vote of server %d", a), func() bool { return slices.Contains([]string{"follower", "leader"}, s.Mode()) })
			return nil
		}},
		{"the leader stops for longer than a session", func(ctx context.Context, w *world) error {
			l, err := w.e.Leader()
			if err != nil {
				return err
			}
			if err := l.Signal(syscall.SIGSTOP); err != nil {
				return err
			}
			w.last(ctx, guestTimeout*3/2)
			return l.Signal(syscall.SIGCONT)
		}},
	}
}

// two draws two servers.
func (w *world) two() (int, int) {
	p := w.rng.Perm(len(w.e.Servers))
	return p[0] + 1, p[1] + 1
}

// while draws how long a fault lasts: shorter or longer than a server goes on without a leader.
func (w *world) while() time.Duration {
	return time.Duration(300+w.rng.IntN(1500)) * time.Millisecond
}

// cut lets a cut last. Half of the connections break behind it, the others go on.
func (w *world) cut(ctx context.Context, begin func(), a, b int) {
	d, breaks := w.while(), w.rng.IntN(2) == 0
	begin()
	w.last(ctx, d)
	if breaks {
		w.net.Reset(a, b)
	}
}

// aroundLeader does something to the leader's links with both others.
func (w *world) aroundLeader(ctx context.Context, begin func(leader, other int)) error {
	l, err := w.e.Leader()
	if err != nil {
		return err
	}
	d := w.while()
	w.others(l, begin)
	w.last(ctx, d)
	return nil
}

func (w *world) others(l *zkserver.Server, do func(leader, other int)) {
	for _, s := range w.e.Servers {
		if s != l {
			do(l.ID, s.ID)
		}
	}
}
