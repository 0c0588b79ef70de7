package limits

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// The frames on the wire. Each begins with its length, 4 bytes big-endian, which does not
// count itself. What stands between length and body is not looked at.
const (
	// produceHeaderBytes is what stands before the batch of a produce request, length
	// included: header with client id, acks, timeout, topic, partition, length of the records.
	produceHeaderBytes = 64
	// produceReplyBytes is a produce reply for one partition of a topic with a short name.
	produceReplyBytes = 54
	// fetchRequestBytes is a fetch request for one partition within a session or without one.
	fetchRequestBytes = 96
	// fetchHeaderBytes is what stands before the records of a fetch reply.
	fetchHeaderBytes = 64
	// smallestBatchBytes leaves room for the fields that are checked and stamped.
	smallestBatchBytes = 64
)

// The fields of a batch that the floor touches: as a broker it stamps the base offset and
// checks the CRC of all that follows it.
const (
	batchCRCAt     = 17
	batchCoveredAt = 21
)

// castagnoli is the table of CRC32C; crc32.MakeTable returns the same one each time.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// unevenBytes is what a batch of whole pages is shorter than its name says: producers' batches
// end anywhere. In a file of batches of exactly 64 KiB the page cache consists of folios of
// 64 KiB, and an append costs half of what it costs at any other size (docs/perf-limits.md).
const unevenBytes = 405

// unitBytes is the size of one unit of work: of a batch, a piece, a block.
func (s Spec) unitBytes() int {
	switch s.Kind {
	case Append, AppendOneWay, GroupCommit:
		if s.SizeBytes%blockBytes == 0 {
			return s.SizeBytes - unevenBytes
		}
	}
	return s.SizeBytes
}

// newBatch returns a batch of n random bytes with a valid CRC.
func newBatch(n int, seed uint64) []byte {
	b := make([]byte, n+8)
	rnd := rand.New(rand.NewPCG(seed, 0x666c6f6f72))
	for i := 0; i < n; i += 8 {
		binary.BigEndian.PutUint64(b[i:], rnd.Uint64())
	}
	b = b[:n]
	binary.BigEndian.PutUint32(b[batchCRCAt:], crc32.Checksum(b[batchCoveredAt:], castagnoli()))
	return b
}

// request returns the parts of a request of s: a header and the body that all requests
// share. Only the header may be written to.
func (s Spec) request(body []byte) [][]byte {
	header := make([]byte, s.requestHeaderBytes())
	binary.BigEndian.PutUint32(header, uint32(len(header)+len(body)-4))
	if len(body) == 0 {
		return [][]byte{header}
	}
	return [][]byte{header, body}
}

func (s Spec) requestHeaderBytes() int {
	switch s.Kind {
	case Append, AppendOneWay, GroupCommit:
		return produceHeaderBytes
	case Echo:
		return s.SizeBytes
	}
	return fetchRequestBytes
}

// body returns what follows the header of each request, nil when there is nothing.
func (s Spec) body() []byte {
	switch s.Kind {
	case Append, AppendOneWay, GroupCommit:
		return newBatch(s.unitBytes(), 1)
	}
	return nil
}

// requestBytes is the size of a request on the wire.
func (s Spec) requestBytes() int {
	switch s.Kind {
	case Append, AppendOneWay, GroupCommit:
		return produceHeaderBytes + s.unitBytes()
	case Echo:
		return s.SizeBytes
	}
	return fetchRequestBytes
}

// replyBytes is the size of a reply on the wire, 0 when there is none.
func (s Spec) replyBytes() int {
	switch s.Kind {
	case Append, GroupCommit:
		return produceReplyBytes
	case Echo:
		return s.SizeBytes
	case Sendfile, Writev, Reply:
		return fetchHeaderBytes + s.SizeBytes
	}
	return 0
}
