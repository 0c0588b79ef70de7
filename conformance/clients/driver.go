package clients

import (
	"context"
	"time"
)

// Header is one record header; a nil Value is a null.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Rec is one record as a client sends or sees it. A nil Key or Value is a null.
type Rec struct {
	Topic       string   `json:"topic,omitempty"` // of this record, where it differs from the call's
	Offset      int64    `json:"offset"`
	TimestampMs int64    `json:"timestampMs"`
	Key         []byte   `json:"key"`
	Value       []byte   `json:"value"`
	Headers     []Header `json:"headers"`
}

// Abilities are what a client has; the script leaves out what it has not.
type Abilities struct {
	Codecs       []string // of none, gzip, snappy, lz4, zstd
	Admin        bool     // creates and deletes topics
	Idempotent   bool
	Headers      bool
	NullKeys     bool
	NullValues   bool
	Timestamps   bool // sets a record's timestamp when it produces
	ByTimestamp  bool // finds an offset by timestamp
	Survives     bool // its producer lives through a broker's restart
	HeaderValues bool // keeps null and empty header values apart
}

// From says where a consumer begins.
type From struct {
	End         bool
	TimestampMs int64 // 0: from the start
}

// ProducerOptions choose how a producer sends.
type ProducerOptions struct {
	Codec      string
	Idempotent bool
}

// Driver is one client under the script.
type Driver interface {
	Name() string
	Can() Abilities
	CreateTopic(ctx context.Context, topic string, partitions int, config map[string]string) error
	DeleteTopic(ctx context.Context, topic string) error
	NewProducer(ctx context.Context, o ProducerOptions) (Producer, error)
	// Consume reads count records of partition 0. It calls ready once its position is
	// fixed, so that a consumer from the end knows what comes after.
	Consume(ctx context.Context, topic string, from From, count int, ready func()) ([]Rec, error)
	Close() error
}

// in returns the topic that a record goes to.
func (r *Rec) in(topic string) string {
	if r.Topic != "" {
		return r.Topic
	}
	return topic
}

// Producer sends records to partition 0 of a topic, or of each record's own; Send returns when all are acknowledged
// by all replicas.
type Producer interface {
	Send(ctx context.Context, topic string, recs []Rec) error
	Close() error
}

// operationTimeout bounds every single operation of a client.
const operationTimeout = 60 * time.Second
