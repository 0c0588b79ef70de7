package telemetry

import (
	"container/list"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record/compress"
)

// Subscription says which metrics which clients should push, and how often.
type Subscription struct {
	IntervalMs int32
	Metrics    []string // prefixes; "*": all
	Match      map[string]*regexp.Regexp
}

// DefaultIntervalMs is how often a client asks again that no subscription matches.
const DefaultIntervalMs = 5 * 60 * 1000

const (
	// maxInstances is how many clients Kafka remembers.
	maxInstances   = 16384
	leastExpiryMs  = 60_000
	expiryInterval = 3
	// maxPoints bounds what is read of one payload, and maxExpansion its decompressed size.
	maxPoints    = 10_000
	maxExpansion = 8
)

// Accepted is the codecs that a client may use, the best one first.
var Accepted = []int8{int8(compress.Zstd), int8(compress.LZ4), int8(compress.Gzip), int8(compress.Snappy)}

// Clients answers the two requests of KIP-714.
type Clients struct {
	clock  clock.Clock
	start  time.Time
	random func() protocol.UUID
	series *Series

	mu            sync.Mutex
	subscriptions []Subscription
	version       int // grows when they change
	known         map[protocol.UUID]*list.Element
	recent        *list.List // of *instance, the one that was used last in front
}

// instance is one client and what it was told.
type instance struct {
	id             Identity
	version        int
	subscriptionID int32
	metrics        []string
	intervalMs     int64
	gotMs, pushMs  int64 // when it last asked and pushed; 0: never
	usedMs         int64
	terminating    bool
	lastError      protocol.ErrorCode
}

// NewClients makes an empty cache. random draws ids.
func NewClients(c clock.Clock, random func() protocol.UUID, s *Series) *Clients {
	return &Clients{
		clock: c, start: c.Now(), random: random, series: s,
		known: map[protocol.UUID]*list.Element{}, recent: list.New(),
	}
}

// Subscribe puts subscriptions in force. Clients learn of them with their next request.
func (c *Clients) Subscribe(all []Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscriptions = all
	c.version++
}

// nowMs is never 0.
func (c *Clients) nowMs() int64 { return c.clock.Now().Sub(c.start).Milliseconds() + 1 }

// Told is the answer to GetTelemetrySubscriptions.
type Told struct {
	InstanceID     protocol.UUID
	SubscriptionID int32
	IntervalMs     int32
	Metrics        []string
}

// Get answers a client that asks what to push. Without an id it gets one.
func (c *Clients) Get(id Identity) (Told, protocol.ErrorCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id.InstanceID == (protocol.UUID{}) || c.known[id.InstanceID] == nil && reserved(id.InstanceID) {
		id.InstanceID = c.random()
	}
	now := c.nowMs()
	in := c.instanceLocked(id, now)
	// Who was told that its subscription is no more, or its codec unknown, asks at once.
	mayAsk := in.lastError == protocol.CodeUnknownSubscriptionID || in.lastError == protocol.CodeUnsupportedCompressionType
	if last := max(in.gotMs, in.pushMs); last != 0 && now-last < in.intervalMs && !mayAsk {
		return Told{InstanceID: id.InstanceID}, protocol.CodeThrottlingQuotaExceeded
	}
	in.gotMs, in.lastError = now, protocol.CodeNone
	return Told{InstanceID: id.InstanceID, SubscriptionID: in.subscriptionID, IntervalMs: int32(in.intervalMs), Metrics: in.metrics}, protocol.CodeNone
}

// Payload is what a client pushes.
type Payload struct {
	SubscriptionID int32
	Terminating    bool
	Codec          int8
	Metrics        []byte
	MaxBytes       int // telemetry.max.bytes
}

// Push takes a client's metrics.
func (c *Clients) Push(id Identity, p Payload) protocol.ErrorCode {
	if reserved(id.InstanceID) {
		return protocol.CodeInvalidRequest
	}
	code := c.admit(id, p)
	if code != protocol.CodeNone || len(p.Metrics) == 0 {
		return code
	}
	plain, err := compress.Decompress(nil, p.Metrics, compress.Codec(p.Codec), maxExpansion*p.MaxBytes)
	if err == nil {
		var resource []Attr
		var points []Point
		var beyond int
		if resource, points, beyond, err = decode(plain, maxPoints); err == nil {
			c.series.Push(&id, resource, points, beyond)
			return protocol.CodeNone
		}
	}
	return protocol.CodeInvalidRecord
}

func (c *Clients) admit(id Identity, p Payload) (code protocol.ErrorCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowMs()
	in := c.instanceLocked(id, now)
	defer func() { in.terminating, in.lastError = p.Terminating, code }()
	if in.terminating {
		return protocol.CodeInvalidRequest // after its last push there is none
	}
	// The first push after a question may come early: clients spread them at random.
	early := in.gotMs <= in.pushMs && in.pushMs != 0 && now-in.pushMs < in.intervalMs
	if early && !p.Terminating {
		return protocol.CodeThrottlingQuotaExceeded
	}
	if !early {
		in.pushMs = now
	}
	switch {
	case p.SubscriptionID != in.subscriptionID:
		return protocol.CodeUnknownSubscriptionID
	case p.Codec < 0 || p.Codec > int8(compress.Zstd):
		return protocol.CodeUnsupportedCompressionType
	case len(p.Metrics) > p.MaxBytes:
		return protocol.CodeTelemetryTooLarge
	}
	return protocol.CodeNone
}

// instanceLocked finds a client, or begins to know it; one that knows older subscriptions
// begins anew.
func (c *Clients) instanceLocked(id Identity, nowMs int64) *instance {
	if e := c.known[id.InstanceID]; e != nil {
		in := e.Value.(*instance)
		if in.version != c.version {
			*in = c.newInstanceLocked(id)
		}
		in.usedMs = nowMs
		c.recent.MoveToFront(e)
		return in
	}
	if len(c.known) >= maxInstances {
		c.forgetLocked(c.recent.Back())
	}
	in := c.newInstanceLocked(id)
	in.usedMs = nowMs
	c.known[id.InstanceID] = c.recent.PushFront(&in)
	return &in
}

func (c *Clients) newInstanceLocked(id Identity) instance {
	in := instance{id: id, version: c.version, intervalMs: DefaultIntervalMs}
	for _, s := range c.subscriptions {
		if id.matches(s.Match) {
			in.metrics = append(in.metrics, s.Metrics...)
			in.intervalMs = min(in.intervalMs, int64(s.IntervalMs))
		}
	}
	slices.Sort(in.metrics)
	in.metrics = slices.Compact(in.metrics)
	if slices.Contains(in.metrics, "*") {
		in.metrics = []string{"*"}
	}
	sum := crc32.Checksum([]byte(strings.Join(in.metrics, ",")+strconv.FormatInt(in.intervalMs, 10)), crc32.MakeTable(crc32.Castagnoli))
	in.subscriptionID = int32(sum ^ binary.BigEndian.Uint32(id.InstanceID[:4]) ^ binary.BigEndian.Uint32(id.InstanceID[12:]))
	return in
}

func (id *Identity) matches(all map[string]*regexp.Regexp) bool {
	for selector, re := range all {
		var value string
		switch selector {
		case "client_instance_id":
			value = uuidText(id.InstanceID)
		case "client_id":
			value = id.ClientID
		case "client_software_name":
			value = id.Software
		case "client_software_version":
			value = id.SoftwareVersion
		case "client_source_address":
			value = id.Address
		case "client_source_port":
			value = strconv.Itoa(int(id.Port))
		}
		if !re.MatchString(value) {
			return false
		}
	}
	return true
}

// Expire forgets clients that were silent for too long. The broker calls it from time to time.
func (c *Clients) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowMs()
	for e := c.recent.Back(); e != nil; {
		in, before := e.Value.(*instance), e.Prev()
		if now-in.usedMs < leastExpiryMs {
			return // nor did those before it wait for longer
		}
		if now-in.usedMs >= max(leastExpiryMs, expiryInterval*in.intervalMs) {
			c.forgetLocked(e)
		}
		e = before
	}
}

func (c *Clients) forgetLocked(e *list.Element) {
	in := e.Value.(*instance)
	c.recent.Remove(e)
	delete(c.known, in.id.InstanceID)
	c.series.Forget(in.id.InstanceID)
}

// reserved ids name no client (org.apache.kafka.common.Uuid).
func reserved(id protocol.UUID) bool {
	var one protocol.UUID
	one[15] = 1
	return id == (protocol.UUID{}) || id == one
}

// uuidText is an id as Kafka's tools print it.
func uuidText(id protocol.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
