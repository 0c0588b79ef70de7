package protocol_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/millrace/millrace/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func BenchmarkProduceDecode(b *testing.B) {
	for _, partitions := range []int{1, 16} {
		body := produceRequest(protocol.ProduceRequest{}, 11, partitions, 16<<10)
		name := strconv.Itoa(partitions) + "x16KiB"
		b.Run("hot/"+name, func(b *testing.B) {
			var in protocol.ProduceInput
			var names protocol.Names
			b.ReportAllocs()
			for b.Loop() {
				if err := in.Decode(body, 11, &names); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("generated/"+name, func(b *testing.B) {
			var in protocol.ProduceRequest
			var names protocol.Names
			b.ReportAllocs()
			for b.Loop() {
				if err := in.DecodeInterned(body, 11, &names); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("kmsg/"+name, func(b *testing.B) {
			in := kmsg.ProduceRequest{Version: 11}
			b.ReportAllocs()
			for b.Loop() {
				if err := in.ReadFrom(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProduceResponse(b *testing.B) {
	var in protocol.ProduceInput
	if err := in.Decode(produceRequest(protocol.ProduceRequest{}, 11, 16, 10), 11, nil); err != nil {
		b.Fatal(err)
	}
	outcomes := make([]protocol.ProduceOutcome, 16)
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		in.AppendResponse(dst, outcomes, 0, nil)
	}
}

func BenchmarkHeader(b *testing.B) {
	header := protocol.AppendRequestHeader(nil, protocol.RequestHeader{Version: 11, ClientID: "producer-1"})
	var p protocol.HeaderParser
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.Parse(header); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFetchDecode16(b *testing.B) {
	body := fetchRequest(rand.New(rand.NewPCG(1, 1))).Append(nil, 12)
	var m protocol.FetchRequest
	var names protocol.Names
	b.ReportAllocs()
	for b.Loop() {
		if err := m.DecodeInterned(body, 12, &names); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFetchBuild16 lays out 16 partitions, 8 of them with 64 KiB that stay in the file.
func BenchmarkFetchBuild16(b *testing.B) {
	file := &memFile{data: make([]byte, 1<<20)}
	head, parts := benchFetch(file)
	w := protocol.FetchResponseWriter{InlineBelowBytes: 32 << 10}
	b.ReportAllocs()
	for b.Loop() {
		fillRecords(parts, file)
		w.Build(head, parts)
	}
}
