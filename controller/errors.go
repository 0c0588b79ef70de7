package controller

import (
	"errors"
	"fmt"
)

// Kind is why a request was refused, in Kafka's terms.
type Kind uint8

// The kinds, each with Kafka's error code of the same name.
const (
	InvalidTopic Kind = iota + 1 // INVALID_TOPIC_EXCEPTION
	TopicExists                  // TOPIC_ALREADY_EXISTS
	InvalidPartitions
	InvalidReplicationFactor
	InvalidReplicaAssignment
	InvalidConfig
	InvalidRequest
	PolicyViolation
	UnknownTopic   // UNKNOWN_TOPIC_OR_PARTITION
	UnknownTopicID // UNKNOWN_TOPIC_ID
	TopicDeletionDisabled
	NotController
	ElectionNotNeeded
	PreferredLeaderNotAvailable
	EligibleLeadersNotAvailable
	NoReassignmentInProgress
	BrokerNotRegistered // BROKER_ID_NOT_REGISTERED
	InvalidUpdateVersion
)

// Error is a refused request: nothing was changed.
type Error struct {
	Kind    Kind
	Message string
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, ErrNotController) work.
func (e *Error) Is(target error) bool { return target == ErrNotController && e.Kind == NotController }

// ErrNotController is matched when another broker is the controller.
var ErrNotController = errors.New("this broker is not the controller")

func refuse(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of a refusal, and false for other errors: then the store failed,
// and metadata.ErrUnknownOutcome tells whether something may have changed.
func KindOf(err error) (Kind, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind, true
	}
	return 0, false
}
