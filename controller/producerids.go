package controller

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/millrace/millrace/metadata"
)

// ProducerIDBlockSize is how many ids a broker takes at once, as in Kafka.
const ProducerIDBlockSize = 1000

// ProducerIDs hands out producer ids that no broker of the cluster ever handed out: it
// takes blocks from the tree by compare-and-swap. Ids that were not used when the process
// ends are lost, never given twice.
type ProducerIDs struct {
	store    metadata.Store
	brokerID int32

	mu         sync.Mutex
	next, last int64 // of the block; empty while next > last
}

// NewProducerIDs takes the first block when it is first asked.
func NewProducerIDs(s metadata.Store, brokerID int32) *ProducerIDs {
	return &ProducerIDs{store: s, brokerID: brokerID, next: 0, last: -1}
}

// Next returns a new id.
func (p *ProducerIDs) Next(ctx context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next > p.last {
		block, err := TakeProducerIDBlock(ctx, p.store, p.brokerID)
		if err != nil {
			return 0, err
		}
		p.next, p.last = block.First, block.Last
	}
	id := p.next
	p.next++
	return id, nil
}

// TakeProducerIDBlock reserves the next block for a broker.
func TakeProducerIDBlock(ctx context.Context, s metadata.Store, brokerID int32) (metadata.ProducerIDBlock, error) {
	for {
		data, stat, err := s.Get(ctx, metadata.ProducerIDBlockPath)
		if err != nil {
			return metadata.ProducerIDBlock{}, fmt.Errorf("producer id block: %w", err)
		}
		block := metadata.ProducerIDBlock{BrokerID: brokerID, Last: ProducerIDBlockSize - 1}
		if len(data) > 0 {
			old, err := metadata.DecodeProducerIDBlock(data)
			if err != nil {
				return metadata.ProducerIDBlock{}, err
			}
			if old.Last > math.MaxInt64-ProducerIDBlockSize {
				return metadata.ProducerIDBlock{}, errors.New("producer id block: all ids have been used")
			}
			block.First, block.Last = old.Last+1, old.Last+ProducerIDBlockSize
		}
		_, err = s.Multi(ctx, metadata.Set(metadata.ProducerIDBlockPath, block.Encode(), stat.Version))
		if errors.Is(err, metadata.ErrBadVersion) {
			continue // another broker was faster
		}
		if err != nil {
			return metadata.ProducerIDBlock{}, fmt.Errorf("producer id block: %w", err)
		}
		return block, nil
	}
}

// PassProducerIDs makes sure that no id up to last is ever handed out: logs that came with
// another cluster's ids in them would take a new producer's first batches for duplicates of
// the old one's.
func PassProducerIDs(ctx context.Context, s metadata.Store, brokerID int32, last int64) error {
	for {
		data, stat, err := s.Get(ctx, metadata.ProducerIDBlockPath)
		if err != nil {
			return fmt.Errorf("producer id block: %w", err)
		}
		if len(data) > 0 {
			old, err := metadata.DecodeProducerIDBlock(data)
			if err != nil || old.Last >= last {
				return err
			}
		}
		block := metadata.ProducerIDBlock{BrokerID: brokerID, First: last, Last: last}
		_, err = s.Multi(ctx, metadata.Set(metadata.ProducerIDBlockPath, block.Encode(), stat.Version))
		if errors.Is(err, metadata.ErrBadVersion) {
			continue
		}
		if err != nil {
			return fmt.Errorf("producer id block: %w", err)
		}
		return nil
	}
}
