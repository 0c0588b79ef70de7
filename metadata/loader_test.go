package metadata_test

import (
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"testing"

	. "github.com/millrace/millrace/metadata"
)

func TestLoader(t *testing.T) {
	q, _ := newQuorum(t)
	s := q.Open(t)
	l := NewLoader(s, slog.New(slog.DiscardHandler))
	defer l.Close()
	var ops []Op
	for _, p := range PersistentPaths() {
		ops = append(ops, Create(p, nil))
	}
	multi(t, s, ops...)
	type seen struct{ old, new int64 }
	var got []seen
	r := multi(t, s, Create(TopicPath("t"), TopicNode{ID: TopicID{1}, Partitions: [][]int32{{1}}}.Encode()))
	if err := l.Wait(t.Context(), r.Zxid); err != nil {
		t.Fatal(err)
	}
	l.Add(PublisherFunc(func(old, new *Image) { got = append(got, seen{old.Zxid(), new.Zxid()}) }))
	bad := multi(t, s, Set(TopicPath("t"), []byte("junk"), 0))
	last := multi(t, s, Create(TopicPath("u"), TopicNode{ID: TopicID{2}, Partitions: [][]int32{{1}}}.Encode()))
	if err := l.Wait(t.Context(), last.Zxid); err != nil {
		t.Fatal(err)
	}
	if want := []seen{{0, r.Zxid}, {r.Zxid, bad.Zxid}, {bad.Zxid, last.Zxid}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, ok := l.Image().Topic("t"); !ok || len(l.Image().Topics()) != 2 {
		t.Error("a node that cannot be read counts as unchanged")
	}
	if _, ok := l.Image().TopicByID(TopicID{2}); !ok {
		t.Error("no topic with this id")
	}
}

// swapped is a store that tells another tree after a while, as an ensemble that lost its data.
type swapped struct {
	Store
	mu sync.Mutex
	f  func(Txn)
}

func (s *swapped) Subscribe(from int64, f func(Txn)) (func(), int64) {
	s.f = func(txn Txn) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f(txn)
	}
	return s.Store.Subscribe(from, s.f)
}

// The tree of another cluster is not followed: every log would be deleted.
func TestLoaderRefusesAnotherCluster(t *testing.T) {
	q, _ := newQuorum(t)
	s := &swapped{Store: q.Open(t)}
	multi(t, s, Create("/cluster", nil), Create(ClusterIDPath, EncodeClusterID("ours")), Create("/brokers", nil), Create(TopicsPath, nil))
	r := multi(t, s, Create(TopicPath("t"), TopicNode{ID: TopicID{1}, Partitions: [][]int32{{1}}}.Encode()))
	l := NewLoader(s, slog.New(slog.DiscardHandler))
	defer l.Close()
	var lost error
	l.OnLost(func(err error) { lost = err })
	if err := l.Wait(t.Context(), r.Zxid); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"theirs", ""} {
		lost = nil
		other := Txn{Zxid: r.Zxid + 10, Snapshot: true}
		if id != "" {
			other.Events = []Event{{Kind: Created, Path: ClusterIDPath, Data: EncodeClusterID(id)}}
		}
		s.f(other)
		var foreign *OtherClusterError
		if !errors.As(lost, &foreign) || foreign.Was != "ours" || foreign.Is != id || len(l.Image().Topics()) != 1 {
			t.Errorf("cluster %q: %v, %d topics", id, lost, len(l.Image().Topics()))
		}
	}
	s.f(Txn{Zxid: r.Zxid + 20, Snapshot: true, Events: []Event{{Kind: Created, Path: ClusterIDPath, Data: EncodeClusterID("ours")}}})
	if len(l.Image().Topics()) != 0 {
		t.Error("its own cluster's tree was not followed")
	}
}
