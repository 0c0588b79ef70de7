package engine

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// A batch that no consumer could decompress would stop every consumer of its partition at
// its offset: the producer that sent it is told, as Apache Kafka does.
func TestCompressedBatchesThatNobodyCanReadAreRefused(t *testing.T) {
	for _, codec := range []compress.Codec{compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			_, l := openTestLog(t, nil)
			good := compressed(t, codec)
			bad := append(record.Batch(nil), good...)
			for i := record.HeaderBytes; i < len(bad); i++ {
				bad[i] ^= 0x5a
			}
			bad.SetMaxTimestamp(bad.MaxTimestamp() + 1) // makes the CRC good
			if err := bad.CheckCRC(); err != nil {
				t.Fatal(err)
			}
			if a, err := l.AppendAsLeader(bad, 0, Client); !errors.Is(err, record.ErrCorrupt) && !errors.Is(err, record.ErrInvalidRecord) {
				t.Fatalf("records that cannot be decompressed: %+v, %v", a, err)
			}
			if l.LogEndOffset() != 0 {
				t.Fatalf("the log ends at %d", l.LogEndOffset())
			}
			if _, err := l.AppendAsLeader(good, 0, Client); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func compressed(t *testing.T, codec compress.Codec) record.Batch {
	t.Helper()
	builder := record.NewBuilder(record.BuilderOptions{Codec: codec})
	for range 20 {
		builder.Append(1000, []byte("key"), []byte("a value that is worth to be compressed"))
	}
	b, err := builder.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Each compressed batch may claim 128 MiB: only a few are decompressed at a time, whoever
// sends them, and who sends plain ones does not wait.
func TestDecompressionIsBounded(t *testing.T) {
	_, l := openTestLog(t, nil)
	for range cap(l.host.codecs) {
		l.host.codecs <- struct{}{}
	}
	done := make(chan error)
	go func() {
		_, err := l.AppendAsLeader(compressed(t, compress.LZ4), 0, Client)
		done <- err
	}()
	if _, err := l.AppendAsLeader(batch(t, 1, "plain"), 0, Client); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("a batch was decompressed beyond the bound (%v)", err)
	default:
	}
	<-l.host.codecs
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if l.LogEndOffset() != 21 {
		t.Fatalf("the log ends at %d, want 21", l.LogEndOffset())
	}
	for range cap(l.host.codecs) - 1 {
		<-l.host.codecs
	}
}
