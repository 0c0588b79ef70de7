package raw

import (
	"encoding/binary"
	"testing"

	"github.com/millrace/millrace/bench/workload"
	"github.com/millrace/millrace/record/compress"
)

// testTarget is a Target that was never dialed.
func testTarget() *Target {
	return &Target{clientID: "c", versions: map[int16]versRange{0: {3, 8}, 1: {4, 11}}}
}

func TestProduceTakesNoMemory(t *testing.T) {
	b := batches(t, workload.Spec{Sizes: "100"}, 4, 1000, compress.None)
	s := ProduceSpec{
		Common:  Common{Partitions: []Partition{{Topic: "t", Address: "x"}, {Topic: "t", Index: 1, Address: "x"}}},
		Batches: b, PartitionsPerRequest: 1, Acks: 1,
	}
	p, err := newProducer(testTarget(), &s)
	if err != nil {
		t.Fatal(err)
	}
	reply := produced(p.version, 0, 0)
	seq := int64(0)
	if n := testing.AllocsPerRun(100, func() {
		p.frame(0, seq)
		binary.BigEndian.PutUint32(reply, uint32(seq))
		p.reply(0, seq, len(reply), reply)
		seq++
	}); n != 0 {
		t.Errorf("%v allocations for a request and its reply", n)
	}
	if err := p.tally.failure.Err(); err != nil || p.tally.sums().records == 0 {
		t.Errorf("%d records, %v", p.tally.sums().records, err)
	}
}

func TestFetchTakesNoMemory(t *testing.T) {
	set := batches(t, workload.Spec{Sizes: "100"}, 1, 1000, compress.None)[0]
	s := FetchSpec{Common: Common{Partitions: []Partition{{Topic: "t", Address: "x"}}}, Mode: Same}
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	f := &fetcher{s: &s, version: fetchHigh, tally: newTally("Fetch", 1), chains: []*chain{{}}}
	f.conns = []fetchConn{{parts: []readPart{{}}, left: 1, asked: make([]asked, 1)}}
	reply := fetched(f.version, 0, 0, set.Bytes)
	seq := int64(0)
	round := func() {
		f.frame(0, seq)
		binary.BigEndian.PutUint32(reply, uint32(seq))
		head := reply[:fetchHeadBytes+1]
		if f.want(0, seq, len(reply), head) {
			head = reply
		}
		f.reply(0, seq, len(reply), head)
		seq++
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations for a request and its reply", n)
	}
	if got := f.tally.sums(); f.tally.failure.Err() != nil || got.records != seq*int64(set.Records) {
		t.Errorf("%d records in %d replies of %d: %v", got.records, seq, set.Records, f.tally.failure.Err())
	}
}
