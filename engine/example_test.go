package engine_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/record"
)

// A log as a library: append, read, close, and open again.
func Example() {
	dir, err := os.MkdirTemp("", "millrace-example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	l, err := engine.OpenLog(ctx, engine.LogOptions{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	for _, word := range []string{"mill", "race"} {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(1700000000000, []byte("key"), []byte(word))
		batch, err := b.Finish()
		if err != nil {
			log.Fatal(err)
		}
		a, err := l.AppendAsLeader(batch, 0, engine.Client)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("appended at", a.FirstOffset)
	}
	if err := l.Sync(); err != nil { // durable from here on
		log.Fatal(err)
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}

	l, err = engine.OpenLog(ctx, engine.LogOptions{Dir: dir})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	rng, err := l.Read(0, 1<<20, l.LogEndOffset(), true)
	if err != nil {
		log.Fatal(err)
	}
	defer rng.Release()
	buf := make([]byte, rng.LenBytes)
	if err := rng.CopyTo(buf); err != nil {
		log.Fatal(err)
	}
	for len(buf) > 0 {
		batch, rest, err := record.Next(buf)
		if err != nil {
			log.Fatal(err)
		}
		batch.Iterate(nil, func(r *record.Record) error {
			fmt.Printf("%d: %s\n", r.Offset, r.Value)
			return nil
		})
		buf = rest
	}
	// Output:
	// appended at 0
	// appended at 1
	// 0: mill
	// 1: race
}
