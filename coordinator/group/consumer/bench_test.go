package consumer

import (
	"fmt"
	"testing"
)

// BenchmarkHeartbeat is a heartbeat that says nothing new, which nearly all are.
func BenchmarkHeartbeat(b *testing.B) {
	for _, members := range []int{5, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			w := newWorld(b)
			w.c.create("foo", 1)
			for i := range members {
				c, _, err := w.g.Heartbeat(&w.env, join(fmt.Sprint("m", i), "foo"))
				if err != nil {
					b.Fatal(err)
				}
				w.g.Apply(c)
			}
			w.must(beat("m0", 1))
			q := beat("m0", w.g.Member("m0").Epoch)
			b.ReportAllocs()
			for b.Loop() {
				c, _, err := w.g.Heartbeat(&w.env, q)
				if err != nil {
					b.Fatal(err)
				}
				w.g.Apply(c)
			}
		})
	}
}

// BenchmarkJoin is the last of many members joining.
func BenchmarkJoin(b *testing.B) {
	for _, members := range []int{5, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			w := newWorld(b)
			w.c.create("foo", int32(members))
			for i := range members - 1 {
				c, _, err := w.g.Heartbeat(&w.env, join(fmt.Sprint("m", i), "foo"))
				if err != nil {
					b.Fatal(err)
				}
				w.g.Apply(c)
			}
			q := join("last", "foo")
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := w.g.Heartbeat(&w.env, q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
