package broker

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/broker/quota"
)

// Principal is who a connection acts as.
type Principal struct{ Type, Name string }

// Anonymous is the principal of a connection without authentication, as in Kafka.
var anonymous = Principal{Type: "User", Name: "ANONYMOUS"}

func (p Principal) String() string { return p.Type + ":" + p.Name }

// Caller is what is known of the sender of a request. Handlers pass it on; nobody changes it.
type Caller struct {
	quotas atomic.Pointer[quota.Client] // a cache of clientQuotas

	Principal        Principal
	Listener         string // name, upper case
	SecurityProtocol string // PLAINTEXT
	ClientID         string // of the request
	Address          netip.AddrPort
}

// Operation is an operation of Kafka's ACLs; the values are those on the wire
// (org.apache.kafka.common.acl.AclOperation).
type Operation int8

// The operations that the handlers ask for.
const (
	OpRead            Operation = 3
	OpWrite           Operation = 4
	OpCreate          Operation = 5
	OpDelete          Operation = 6
	OpAlter           Operation = 7
	OpDescribe        Operation = 8
	OpClusterAction   Operation = 9
	OpDescribeConfigs Operation = 10
	OpAlterConfigs    Operation = 11
	OpIdempotentWrite Operation = 12
)

// ResourceType is a kind of thing that has ACLs; values as on the wire.
type ResourceType int8

// The kinds that the handlers ask about.
const (
	ResourceTopic   ResourceType = 2
	ResourceGroup   ResourceType = 3
	ResourceCluster ResourceType = 4
)

// clusterName is the name of the one cluster resource.
const clusterName = "kafka-cluster"

// Operations that exist for a kind of resource, for the bit fields of Metadata,
// DescribeCluster and DescribeGroups.
var (
	groupOperations   = [...]Operation{OpRead, OpDelete, OpDescribe, OpDescribeConfigs, OpAlterConfigs}
	topicOperations   = [...]Operation{OpRead, OpWrite, OpCreate, OpDelete, OpAlter, OpDescribe, OpDescribeConfigs, OpAlterConfigs}
	clusterOperations = [...]Operation{OpCreate, OpAlter, OpDescribe, OpClusterAction, OpDescribeConfigs, OpAlterConfigs, OpIdempotentWrite}
)

// Authorizer is asked before a handler acts. It must not block or allocate: Produce and
// Fetch ask it for each topic of each request.
type Authorizer interface {
	Allowed(c *Caller, op Operation, kind ResourceType, name string) bool
}

// Cost is what a request takes of its sender's quotas.
type Cost struct {
	Key   int16 // its API
	Bytes int   // of a Produce request; of the records that answer a Fetch
	// Exempt requests are not held up for the time that requests took: acks=0, followers.
	Exempt bool
}

// Quota is told what requests cost, and answers how long their connection should be
// silent. It must not block. Without limits it costs an atomic load and allocates nothing.
type Quota interface {
	// Charge counts a request. The bytes of a Fetch that is throttled do not count: the
	// caller must not send them.
	Charge(c *Caller, cost Cost) (throttle time.Duration)
	// Metered tells whether anything is limited; only then Spent need be called. Spent counts
	// the time that a request took.
	Metered() bool
	Spent(c *Caller, d time.Duration)
	// FetchLimit is the most bytes that a Fetch can bring without being throttled for sure.
	FetchLimit(c *Caller) (bytes int)
	// LimitsMutations tells whether Mutate may refuse the caller anything. Mutate counts
	// partitions that are to be created or deleted, and unless strict allows them always.
	LimitsMutations(c *Caller) bool
	Mutate(c *Caller, partitions int, strict bool) (throttle time.Duration, allowed bool)
}

// AllowAll is an Authorizer, and a Quota, that limits nothing.
type AllowAll struct{}

// Allowed implements Authorizer.
func (AllowAll) Allowed(*Caller, Operation, ResourceType, string) bool { return true }

// Charge implements Quota.
func (AllowAll) Charge(*Caller, Cost) time.Duration { return 0 }

// Metered implements Quota.
func (AllowAll) Metered() bool { return false }

// Spent implements Quota.
func (AllowAll) Spent(*Caller, time.Duration) {}

// FetchLimit implements Quota.
func (AllowAll) FetchLimit(*Caller) int { return math.MaxInt }

// LimitsMutations implements Quota.
func (AllowAll) LimitsMutations(*Caller) bool { return false }

// Mutate implements Quota.
func (AllowAll) Mutate(*Caller, int, bool) (time.Duration, bool) { return 0, true }

// operations is the bit field of what the caller may do with a resource.
func (b *Broker) operations(c *Caller, of []Operation, kind ResourceType, name string) int32 {
	var bits int32
	for _, op := range of {
		if b.auth.Allowed(c, op, kind, name) {
			bits |= 1 << op
		}
	}
	return bits
}
