package consumer

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/protocol"
)

// Validate checks a heartbeat by itself, before a group is looked for.
func Validate(q *protocol.ConsumerGroupHeartbeatRequest, version int16, c *Config) error {
	if err := validateNames(q, version); err != nil {
		return err
	}
	switch {
	case q.MemberEpoch == EpochJoin:
		if q.RebalanceTimeoutMs == -1 {
			return invalid("RebalanceTimeoutMs must be provided in first request.")
		}
		if q.TopicPartitions == nil || len(q.TopicPartitions) > 0 {
			return invalid("TopicPartitions must be empty when (re-)joining.")
		}
		if q.SubscribedTopicNames == nil && !q.SubscribedTopicRegex.Valid {
			return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
		}
	case q.MemberEpoch < EpochLeaveStatic:
		return invalid("MemberEpoch is invalid.")
	}
	if q.ServerAssignor.Valid && c.assignor(q.ServerAssignor.Value) == nil {
		var names []string
		for _, a := range c.Assignors {
			names = append(names, a.Name())
		}
		return &Error{protocol.CodeUnsupportedAssignor, fmt.Sprintf("ServerAssignor %s is not supported. Supported assignors: %s.", q.ServerAssignor.Value, strings.Join(names, ", "))}
	}
	return nil
}

func validateNames(q *protocol.ConsumerGroupHeartbeatRequest, version int16) error {
	blank := func(s string) bool { return strings.TrimSpace(s) == "" }
	switch {
	case (version >= 1 || q.MemberEpoch != EpochJoin) && blank(q.MemberID): // since version 1 clients make their ids
		return invalid("MemberId can't be empty.")
	case blank(q.GroupID):
		return invalid("GroupId can't be empty.")
	case q.InstanceID.Valid && blank(q.InstanceID.Value):
		return invalid("InstanceId can't be empty.")
	case q.RackID.Valid && blank(q.RackID.Value):
		return invalid("RackId can't be empty.")
	}
	return nil
}

func invalid(message string) error { return &Error{protocol.CodeInvalidRequest, message} }
