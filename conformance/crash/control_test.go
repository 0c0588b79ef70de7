package crash

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/history"
	"github.com/millrace/millrace/internal/testkit"
)

// TestControl runs the load against a broker that others wrote: first it must be found
// innocent, and after a record was repeated behind the load's back it must be found out.
func TestControl(t *testing.T) {
	seed := testkit.Seed(t)
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	defer fake.Close()
	addr := fake.ListenAddrs()[0]
	ctx, cancel := context.WithTimeout(context.Background(), roundTimeout)
	defer cancel()
	plain := []Topic{{Name: "durable", Partitions: 3}, {Name: "lazy", Partitions: 2}}
	must(t, CreateTopics(ctx, addr, plain))
	l, err := StartLoad(addr, seed, plain, producers)
	must(t, err)
	at := Positions{}
	for _, want := range []int64{1000, 3000} {
		testkit.WaitFor(t, "acknowledgements", func() bool { return l.Acked() >= want })
		must(t, Read(ctx, addr, plain, l.History, at))
	}
	must(t, l.Stop(roundTimeout))
	must(t, Read(ctx, addr, plain, l.History, at))
	if l.DataLoss() > 0 || len(l.Failures()) > 0 {
		t.Errorf("data loss %d, failures %v", l.DataLoss(), l.Failures())
	}
	if found := l.History.Check(); len(found) > 0 {
		t.Fatalf("an innocent broker was found guilty:\n%s", history.Explain(found))
	}

	place := history.Place{Topic: "durable", Partition: 1}
	value := history.Encode(place, history.ID{Producer: 0, Seq: 0}, 20)
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	must(t, err)
	defer client.Close()
	must(t, client.ProduceSync(ctx, &kgo.Record{Topic: place.Topic, Partition: place.Partition, Value: value}).FirstErr())
	must(t, Read(ctx, addr, plain, l.History, at))
	kinds := map[string]int{}
	for _, v := range l.History.Check() {
		kinds[v.Kind]++
	}
	if kinds["duplicate"] != 1 || len(kinds) != 1 {
		t.Errorf("a repeated record was found to be %v", kinds)
	}
}
