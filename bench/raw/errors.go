package raw

import (
	"fmt"
	"sort"
	"strings"

	"github.com/millrace/millrace/protocol"
)

// SpecError is a load that makes no sense.
type SpecError struct{ Field, Value, Want string }

func (e *SpecError) Error() string {
	return fmt.Sprintf("raw load: %s is %s, want %s", e.Field, e.Value, e.Want)
}

// ReplyError is a reply that is not what its request asked for.
type ReplyError struct {
	API    string
	Reason string
}

func (e *ReplyError) Error() string {
	return fmt.Sprintf("%s reply: %s: the peer is no Kafka broker, or broken", e.API, e.Reason)
}

// VersionError is a broker that does not serve what the load needs.
type VersionError struct {
	API                  string
	Low, High            int16 // what is spoken here
	BrokerLow, BrokerTop int16 // -1, -1: the broker does not list the API
}

func (e *VersionError) Error() string {
	if e.BrokerTop < 0 {
		return fmt.Sprintf("the broker does not serve %s: use the franz-go client", e.API)
	}
	return fmt.Sprintf("%s: the broker serves versions %d to %d, the raw client speaks %d to %d: use the franz-go client",
		e.API, e.BrokerLow, e.BrokerTop, e.Low, e.High)
}

// TopicError is a topic that cannot be used.
type TopicError struct {
	Topic string
	Code  protocol.ErrorCode
}

func (e *TopicError) Error() string { return fmt.Sprintf("topic %q: %v", e.Topic, e.Code) }

// NotReadyError is a topic that did not get its partitions or leaders in time.
type NotReadyError struct {
	Topic string
	State string
	Err   error // why waiting ended
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("topic %q is not ready: %s (%v)", e.Topic, e.State, e.Err)
}

func (e *NotReadyError) Unwrap() error { return e.Err }

// AllFailedError is a run to which nothing but error codes came back.
type AllFailedError struct {
	API   string
	Codes map[int16]int64
}

func (e *AllFailedError) Error() string {
	codes := make([]int16, 0, len(e.Codes))
	for c := range e.Codes {
		codes = append(codes, c)
	}
	sort.Slice(codes, func(i, j int) bool { return e.Codes[codes[i]] > e.Codes[codes[j]] })
	var list []string
	for _, c := range codes {
		list = append(list, fmt.Sprintf("%d times %v", e.Codes[c], protocol.ErrorCode(c)))
	}
	return fmt.Sprintf("%s: every answer was an error: %s", e.API, strings.Join(list, ", "))
}

// EmptyError is a log with nothing to fetch.
type EmptyError struct{ Partition Partition }

func (e *EmptyError) Error() string {
	return fmt.Sprintf("%s-%d is empty: produce records first, or fetch at the tail", e.Partition.Topic, e.Partition.Index)
}
