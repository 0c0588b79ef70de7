package replication

import (
	"sync"
	"testing"

	"github.com/millrace/millrace/engine"
)

// BenchmarkProduce appends a batch of about 200 bytes that is acknowledged at once.
func BenchmarkProduce(b *testing.B) {
	p := newEnv(b).topic("")
	batch := batch(string(make([]byte, 130)))
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if res, pending := p.Produce(batch, -1, -1, engine.Client, nil, 0, 1000); pending || res.Err != nil {
			b.Fatal(res.Err)
		}
	}
}

// BenchmarkParked appends to a durable topic of a disk that syncs at once, so that what it
// costs is the parking: 64 produces share each wait.
func BenchmarkParked(b *testing.B) {
	p := newEnv(b).topic("durable")
	batch := batch(string(make([]byte, 130)))
	var told sync.WaitGroup
	done := counter{&told}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		told.Add(1)
		if res, pending := p.Produce(batch, -1, -1, engine.Client, done, 0, 30_000); !pending {
			told.Done()
			if res.Err != nil {
				b.Fatal(res.Err)
			}
		}
		if i%64 == 63 {
			told.Wait()
		}
	}
	told.Wait()
}

type counter struct{ *sync.WaitGroup }

func (c counter) ProduceDone(int, ProduceResult) { c.Done() }
