package raftlog

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// options are those of a small store, so that few entries fill segments.
func options(fs vfs.FS) Options {
	return Options{FS: fs, Clock: clock.Real{}, Log: quiet(), Dir: "data/raft", SegmentBytes: 4096, ReserveBytes: -1, Retain: 2}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	must(t, err)
	return s
}

// entryOf is an entry that its index and seed tell.
func entryOf(index, term uint64, dataBytes int) *raft.Log {
	rng := rand.New(rand.NewPCG(index, term))
	l := &raft.Log{Index: index, Term: term, Type: raft.LogCommand, AppendedAt: time.Unix(1_700_000_000, int64(index)).UTC()}
	if dataBytes > 0 {
		l.Data = make([]byte, dataBytes)
		for i := range l.Data {
			l.Data[i] = byte(rng.Uint32())
		}
	}
	if index%7 == 0 {
		l.Type = raft.LogConfiguration
		l.Extensions = []byte(fmt.Sprint("ext", index))
	}
	return l
}

func entriesOf(from, to, term uint64, dataBytes int) []*raft.Log {
	var logs []*raft.Log
	for i := from; i <= to; i++ {
		logs = append(logs, entryOf(i, term, dataBytes))
	}
	return logs
}

func same(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type && string(a.Data) == string(b.Data) &&
		string(a.Extensions) == string(b.Extensions) && (a.Extensions == nil) == (b.Extensions == nil) && a.AppendedAt.Equal(b.AppendedAt)
}

func bounds(t testing.TB, l raft.LogStore) (first, last uint64) {
	t.Helper()
	first, err := l.FirstIndex()
	must(t, err)
	last, err = l.LastIndex()
	must(t, err)
	return first, last
}

func wantBounds(t testing.TB, l raft.LogStore, first, last uint64) {
	t.Helper()
	if f, n := bounds(t, l); f != first || n != last {
		t.Fatalf("log is [%d, %d], want [%d, %d]", f, n, first, last)
	}
}

func config(n int) raft.Configuration {
	var c raft.Configuration
	for i := range n {
		c.Servers = append(c.Servers, raft.Server{Suffrage: raft.ServerSuffrage(i % 2), ID: raft.ServerID(fmt.Sprint(i)), Address: raft.ServerAddress(fmt.Sprintf("host%d:2888", i))})
	}
	return c
}

// takeSnapshot writes a snapshot with the given body.
func takeSnapshot(s *Store, index, term uint64, body []byte) error {
	k, err := s.Snapshots().Create(1, index, term, config(3), index-1, nil)
	if err != nil {
		return err
	}
	for len(body) > 0 {
		n := min(len(body), 1000)
		if _, err := k.Write(body[:n]); err != nil {
			_ = k.Cancel()
			return err
		}
		body = body[n:]
	}
	return k.Close()
}

func readSnapshot(t testing.TB, s *Store, id string) (*raft.SnapshotMeta, []byte, error) {
	t.Helper()
	meta, r, err := s.Snapshots().Open(id)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(r)
	must(t, r.Close())
	return meta, body, err
}

func bodyOf(index uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(index, 99))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}
