package controller

import (
	"testing"

	"github.com/millrace/millrace/metadata"
)

func TestIDsThatWerePassedAreNotHandedOut(t *testing.T) {
	f := openTree(t, newQuorum(t))
	defer f.store.Close()
	ids := NewProducerIDs(f.store, 1)
	for _, last := range []int64{4711, 12, 4711} { // passing fewer than before changes nothing
		if err := PassProducerIDs(t.Context(), f.store, 1, last); err != nil {
			t.Fatal(err)
		}
	}
	id, err := ids.Next(t.Context())
	if err != nil || id != 4712 {
		t.Fatalf("the first id is %d, %v; want 4712", id, err)
	}
	data, _, err := f.store.Get(t.Context(), metadata.ProducerIDBlockPath)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := metadata.DecodeProducerIDBlock(data); err != nil || b.Last != 4712+ProducerIDBlockSize-1 {
		t.Fatalf("the block is %+v, %v", b, err)
	}
}
