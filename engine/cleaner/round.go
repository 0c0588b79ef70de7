package cleaner

import (
	"github.com/millrace/millrace/index"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
)

// LastRecord is what a log remembers of a producer id: the offset of its last batch of data,
// -1 when only markers are known, and its epoch.
type LastRecord struct {
	DataOffset int64
	Epoch      int16
}

// Stats counts what a cleaning did.
type Stats struct {
	ReadBytes, WrittenBytes     int64 // of the second pass, which copies
	MapBytes                    int64 // read by the first pass
	Records, KeptRecords        int64
	DroppedTombstones           int64
	InvalidRecords              int64 // without a key
	Keys                        int
	EmptyBatches, DroppedAborts int64
}

// Mapping is the first pass of a cleaning: it puts the keys of the dirty part into the map.
type Mapping struct {
	m     *OffsetMap
	start int64
	txns  *txns
	stats *Stats
}

// NewMapping starts a pass over the records from start on. aborted are the transactions of
// which records may lie there.
func NewMapping(m *OffsetMap, start int64, aborted []index.AbortedTxn, stats *Stats) *Mapping {
	p := &Mapping{m: m, start: start, txns: newTxns(func(index.AbortedTxn) {}), stats: stats}
	for _, t := range aborted {
		if t.LastOffset >= start { // the marker of any other is not met here
			p.txns.add([]index.AbortedTxn{t})
		}
	}
	return p
}

// Add puts the keys of a batch. full tells that the map has no room for them: the pass ends
// before that batch, and the cleaning with it. Records of aborted transactions count for
// nothing.
func (p *Mapping) Add(b record.Batch) (full bool, err error) {
	p.stats.MapBytes += int64(len(b))
	if b.IsControl() {
		if _, err := p.txns.onMarker(b); err != nil {
			return false, err
		}
	} else if !p.txns.onBatch(b) {
		err := b.Iterate(nil, func(r *record.Record) error {
			if r.Key == nil || r.Offset < p.start {
				return nil
			}
			if !p.m.Put(r.Key, r.Offset) {
				full = true
				return record.ErrStop
			}
			// What is in the map counts, also when the rest of the batch does not fit.
			p.m.SetLatest(r.Offset)
			return nil
		})
		if err != nil || full {
			return full, err
		}
	}
	if b.LastOffset() >= p.start {
		p.m.SetLatest(b.LastOffset())
	}
	return false, nil
}

// RoundOptions say what the second pass of a cleaning keeps.
type RoundOptions struct {
	NowMs             int64
	DeleteRetentionMs int64
	// UpTo is the offset that is cleaned up to: the batch that ends there stays, if only as a
	// header.
	UpTo int64
	// Last tells of the producer ids that the log remembers.
	Last map[int64]LastRecord
	// Codec and Level are those of the topic: batches of that codec are compressed anew so.
	Codec compress.Codec
	Level int
	// Kept is told of each aborted transaction of which batches are left.
	Kept func(index.AbortedTxn)
}

// Round is the second pass of a cleaning: it goes over all batches from the start of the log
// to the cleaned point, in order, and says what stays of each.
type Round struct {
	o       RoundOptions
	m       *OffsetMap
	txns    *txns
	filter  record.Filter
	stats   *Stats
	discard bool // all records of the batch at hand
	expired bool // its delete horizon has passed
	control bool
	keep    func(*record.Record) bool
}

// NewRound starts a pass with a map that a Mapping filled.
func NewRound(m *OffsetMap, o RoundOptions, stats *Stats) *Round {
	r := &Round{o: o, m: m, txns: newTxns(o.Kept), stats: stats}
	r.keep = r.keeps
	return r
}

// AddAborted tells of aborted transactions whose records may follow.
func (r *Round) AddAborted(list []index.AbortedTxn) { r.txns.add(list) }

// Filter says what stays of a batch; its Batch is nil when nothing does, and is valid until
// the next call. The checksum of b is checked first: what is written anew must not hide
// damage. Errors concern the bytes of b.
func (r *Round) Filter(b record.Batch) (record.Filtered, error) {
	if err := b.CheckCRC(); err != nil {
		return record.Filtered{}, err
	}
	horizonMs, has := b.DeleteHorizonMs()
	r.expired = has && horizonMs <= r.o.NowMs
	r.control = b.IsControl()
	var emptyTxn bool
	if r.control {
		var err error
		if emptyTxn, err = r.txns.onMarker(b); err != nil {
			return record.Filtered{}, err
		}
		// A marker that lost its record before has no horizon, and nothing to keep either.
		r.discard = emptyTxn && (r.expired || b.Count() == 0)
	} else {
		r.discard = r.txns.onBatch(b)
	}
	o := record.FilterOptions{
		KeepEmpty:        b.NextOffset() == r.o.UpTo || r.isLast(b),
		DeleteHorizonMs:  r.o.NowMs + r.o.DeleteRetentionMs,
		MarkerOfEmptyTxn: emptyTxn,
	}
	if b.Codec() == r.o.Codec {
		o.Level = r.o.Level
	}
	out, err := r.filter.Filter(b, o, r.keep)
	if err != nil {
		return out, err
	}
	r.count(b, &out)
	return out, nil
}

func (r *Round) count(b record.Batch, out *record.Filtered) {
	r.stats.ReadBytes += int64(len(b))
	r.stats.WrittenBytes += int64(len(out.Batch))
	r.stats.Records += int64(out.Kept + out.Dropped)
	r.stats.KeptRecords += int64(out.Kept)
	if r.discard && !r.control {
		r.stats.DroppedAborts += int64(out.Dropped)
	}
	if out.Batch != nil && out.Kept == 0 {
		r.stats.EmptyBatches++
	}
}

// isLast tells whether b carries the last sequence number of its producer id.
func (r *Round) isLast(b record.Batch) bool {
	if !b.HasProducerID() {
		return false
	}
	last, known := r.o.Last[b.ProducerID()]
	if !known {
		return false
	}
	if last.DataOffset >= 0 {
		return b.LastOffset() == last.DataOffset
	}
	return b.IsControl() && b.ProducerEpoch() == last.Epoch
}

// keeps decides for one record (Kafka's Cleaner.shouldRetainRecord).
func (r *Round) keeps(rec *record.Record) bool {
	switch {
	case r.discard:
		return false
	case r.control, rec.Offset > r.m.Latest():
		return true
	case rec.Key == nil:
		r.stats.InvalidRecords++
		return false
	case rec.Offset < r.m.Get(rec.Key):
		return false
	case rec.Value == nil && r.expired:
		r.stats.DroppedTombstones++
		return false
	}
	return true
}

// TrimMemory gives back what one large batch took, above keepBytes.
func (r *Round) TrimMemory(keepBytes int) { r.filter.TrimMemory(keepBytes) }
