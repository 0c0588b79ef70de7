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
			builder := record.NewBuilder(record.BuilderOptions{Codec: codec})
			for range 20 {
				builder.Append(1000, []byte("key"), []byte("a value that is worth to be compressed"))
			}
			good, err := builder.Finish()
			if err != nil {
				t.Fatal(err)
			}
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
