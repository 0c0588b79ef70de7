package consumer

import (
	"iter"
	"time"

	"github.com/millrace/millrace/coordinator/group/assignor"
	"github.com/millrace/millrace/protocol"
)

// TopicID is Kafka's 128-bit topic id.
type TopicID = assignor.TopicID

// Assignment is partitions by topic.
type Assignment = assignor.Assignment

// Topics is the topics of the cluster at one moment.
type Topics interface {
	// Version grows with every change of the cluster's metadata.
	Version() int64
	// Newest is the version that brought the newest topic.
	Newest() int64
	// ByName returns a topic's id and number of partitions.
	ByName(name string) (id TopicID, partitions int32, ok bool)
	// ByID returns a topic's name.
	ByID(id TopicID) (name string, ok bool)
	// Names returns the names of all topics.
	Names() iter.Seq[string]
}

// Client is who sent a request.
type Client struct {
	ID      string
	Host    string // "/10.0.0.1", as Kafka writes it
	Version int16  // of the request
	// MayDescribe tells whether the client may see a topic. Topics that it may not see do
	// not match its regular expression. nil: all.
	MayDescribe func(topic string) bool
}

// Env is what a step needs from around it.
type Env struct {
	NowMs  int64 // monotonic, milliseconds: deadlines
	UnixMs int64 // what is written to records
	Topics Topics
	Config *Config
	// NewID makes a member id, for clients that bring none.
	NewID func() string
	// Client is set for requests.
	Client Client
}

// Config is the settings of a group: group.consumer.* of the broker, consumer.* of the group.
type Config struct {
	SessionTimeout    time.Duration
	HeartbeatInterval time.Duration
	// MaxSize is the number of members that a group may have.
	MaxSize int
	// Assignors that members may ask for; the first is the default. Never empty.
	Assignors []assignor.Assignor
	// RegexRefreshInterval is when regular expressions are resolved again although there
	// are no new topics: what a client may see changes too.
	RegexRefreshInterval time.Duration
	// Migration says which groups may change their protocol while they have members.
	Migration Migration
}

// Defaults of Kafka.
const (
	DefaultSessionTimeout       = 45 * time.Second
	DefaultHeartbeatInterval    = 5 * time.Second
	DefaultRegexRefreshInterval = 10 * time.Minute

	// minRegexInterval keeps a burst of new topics from costing a scan for each.
	minRegexInterval = 10 * time.Second
	// MaxRegexBytes bounds a subscription's regular expression.
	MaxRegexBytes = 8 << 10
)

// Migration is group.consumer.migration.policy.
type Migration int8

// The policies.
const (
	MigrationDisabled Migration = iota
	MigrationUpgrade
	MigrationDowngrade
	MigrationBidirectional
)

// Upgrade reports whether a classic group with members may become one of the new protocol.
func (m Migration) Upgrade() bool { return m == MigrationUpgrade || m == MigrationBidirectional }

// Downgrade reports whether a group may become a classic one when its last member of the
// new protocol is gone.
func (m Migration) Downgrade() bool { return m == MigrationDowngrade || m == MigrationBidirectional }

func (c *Config) assignor(name string) assignor.Assignor {
	for _, a := range c.Assignors {
		if a.Name() == name {
			return a
		}
	}
	return nil
}

// Error is a refusal: a code of the protocol and a message for the client's user.
type Error struct {
	Code    protocol.ErrorCode
	Message string
}

func (e *Error) Error() string { return e.Message }
