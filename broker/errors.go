package broker

import (
	"context"
	"errors"

	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/record"
	"github.com/millrace/millrace/record/compress"
	"github.com/millrace/millrace/replication"
)

// codedError is an error of the broker itself: a code of the protocol, and what the client
// is told besides ("" for the code's own text).
type codedError struct {
	code    protocol.ErrorCode
	message string
}

func (e *codedError) Error() string {
	if e.message == "" {
		return e.code.Message()
	}
	return e.message
}

var (
	errTopicDenied    = &codedError{code: protocol.CodeTopicAuthorizationFailed}
	errGroupDenied    = &codedError{code: protocol.CodeGroupAuthorizationFailed}
	errClusterDenied  = &codedError{code: protocol.CodeClusterAuthorizationFailed}
	errUnknownTopicID = &codedError{code: protocol.CodeUnknownTopicID}
	errUnknownTopic   = &codedError{code: protocol.CodeUnknownTopicOrPartition}
)

// errorRow maps one typed error of the lower floors to a code.
type errorRow struct {
	code protocol.ErrorCode
	is   func(error) bool
}

func kind[E error](code protocol.ErrorCode) errorRow {
	return errorRow{code, func(err error) bool { _, ok := errors.AsType[E](err); return ok }}
}

func sentinel(target error, code protocol.ErrorCode) errorRow {
	return errorRow{code, func(err error) bool { return errors.Is(err, target) }}
}

// oldFormat: the log on disk is of a format before v2, and no retry will help.
func oldFormat(err error) bool {
	_, unavailable := errors.AsType[*engine.UnavailableError](err)
	return unavailable && errors.Is(err, record.ErrUnsupportedMagic)
}

// errorRows is the one table from typed errors to codes. The first row that fits wins, so
// that an error that wraps another stands before it.
var errorRows = [...]errorRow{
	// replication
	sentinel(replication.ErrNotLeader, protocol.CodeNotLeaderOrFollower),
	sentinel(replication.ErrUnknownTopicOrPartition, protocol.CodeUnknownTopicOrPartition),
	kind[*replication.FencedEpochError](protocol.CodeFencedLeaderEpoch),
	kind[*replication.UnknownEpochError](protocol.CodeUnknownLeaderEpoch),
	sentinel(replication.ErrNotEnoughReplicasAfterAppend, protocol.CodeNotEnoughReplicasAfterAppend),
	sentinel(replication.ErrNotEnoughReplicas, protocol.CodeNotEnoughReplicas),
	sentinel(replication.ErrTimedOut, protocol.CodeRequestTimedOut),
	sentinel(replication.ErrOffline, protocol.CodeKafkaStorageError),
	sentinel(replication.ErrOffsetNotAvailable, protocol.CodeOffsetNotAvailable),
	sentinel(replication.ErrPolicyViolation, protocol.CodePolicyViolation),
	sentinel(replication.ErrClosed, protocol.CodeNotLeaderOrFollower),
	// engine
	kind[*engine.OffsetOutOfRangeError](protocol.CodeOffsetOutOfRange),
	// Never DUPLICATE_SEQUENCE_NUMBER, as in Kafka: clients take it for success, and of an
	// old sequence number nobody knows whether those very records were stored.
	kind[*engine.SequenceError](protocol.CodeOutOfOrderSequenceNumber),
	kind[*engine.ProducerFencedError](protocol.CodeInvalidProducerEpoch),
	kind[*engine.TxnStateError](protocol.CodeInvalidTxnState),
	kind[*engine.CoordinatorFencedError](protocol.CodeTransactionCoordinatorFenced),
	sentinel(engine.ErrUnknownProducer, protocol.CodeUnknownProducerID),
	// Not a storage error, which clients repeat until they time out without saying why.
	kind[*engine.DiskFullError](protocol.CodePolicyViolation),
	kind[*engine.DirFailedError](protocol.CodeKafkaStorageError),
	kind[*engine.UnknownDirError](protocol.CodeLogDirNotFound),
	// Clients repeat it, and by then there may be descriptors again.
	kind[*engine.TooManyFilesError](protocol.CodeKafkaStorageError),
	{protocol.CodeUnsupportedForMessageFormat, oldFormat},
	kind[*engine.UnavailableError](protocol.CodeKafkaStorageError),
	sentinel(engine.ErrClosed, protocol.CodeNotLeaderOrFollower),
	sentinel(engine.ErrUnknownPartition, protocol.CodeUnknownTopicOrPartition),
	// record
	kind[*compress.UnknownCodecError](protocol.CodeUnsupportedCompressionType),
	sentinel(record.ErrTooLarge, protocol.CodeMessageTooLarge),
	sentinel(record.ErrUnsupportedMagic, protocol.CodeInvalidRecord),
	sentinel(record.ErrInvalidTimestamp, protocol.CodeInvalidTimestamp),
	sentinel(record.ErrNoKey, protocol.CodeInvalidRecord),
	sentinel(record.ErrInvalidRecord, protocol.CodeInvalidRecord),
	sentinel(record.ErrShort, protocol.CodeCorruptMessage),
	sentinel(record.ErrCorrupt, protocol.CodeCorruptMessage),
	// the metadata store: definitely not done, or perhaps done
	sentinel(metadata.ErrSessionExpired, protocol.CodeNotController),
	sentinel(metadata.ErrClosed, protocol.CodeNotController),
	sentinel(metadata.ErrUnknownOutcome, protocol.CodeRequestTimedOut),
	sentinel(context.DeadlineExceeded, protocol.CodeRequestTimedOut),
	sentinel(context.Canceled, protocol.CodeBrokerNotAvailable),
}

// codeOf maps an error to what the client is told. Typed errors name the thing, the value,
// the limit and the way out in their own text.
func codeOf(err error) (code protocol.ErrorCode, message string) {
	if err == nil {
		return protocol.CodeNone, ""
	}
	if e, ok := errors.AsType[*codedError](err); ok {
		return e.code, e.message
	}
	if code, ok := alterError(err); ok {
		return code, err.Error()
	}
	if e, ok := errors.AsType[*engine.RecordTooLargeError](err); ok {
		if e.Segment {
			return protocol.CodeRecordListTooLarge, err.Error()
		}
		return protocol.CodeMessageTooLarge, err.Error() + "; send smaller batches or raise max.message.bytes of the topic"
	}
	for i := range errorRows {
		if errorRows[i].is(err) {
			return errorRows[i].code, err.Error()
		}
	}
	if kind, ok := controller.KindOf(err); ok && int(kind) < len(controllerCodes) {
		return controllerCodes[kind], err.Error()
	}
	return protocol.CodeUnknownServerError, "the broker met an error that it did not expect; its log says more"
}

// recordErrors names the records of a refused batch, where the error knows one.
func recordErrors(err error) []protocol.ProduceResponseRecordError {
	if e, ok := errors.AsType[*record.TimestampError](err); ok && e.Index >= 0 {
		return []protocol.ProduceResponseRecordError{{BatchIndex: int32(e.Index), BatchIndexErrorMessage: protocol.Str(err.Error())}}
	}
	if e, ok := errors.AsType[*record.InvalidError](err); ok && e.Index >= 0 {
		return []protocol.ProduceResponseRecordError{{BatchIndex: int32(e.Index), BatchIndexErrorMessage: protocol.Str(err.Error())}}
	}
	return nil
}

// controllerCodes has the code of each kind of refusal.
var controllerCodes = [...]protocol.ErrorCode{
	controller.InvalidTopic:             protocol.CodeInvalidTopicException,
	controller.TopicExists:              protocol.CodeTopicAlreadyExists,
	controller.InvalidPartitions:        protocol.CodeInvalidPartitions,
	controller.InvalidReplicationFactor: protocol.CodeInvalidReplicationFactor,
	controller.InvalidReplicaAssignment: protocol.CodeInvalidReplicaAssignment,
	controller.InvalidConfig:            protocol.CodeInvalidConfig,
	controller.InvalidRequest:           protocol.CodeInvalidRequest,
	controller.PolicyViolation:          protocol.CodePolicyViolation,
	controller.UnknownTopic:             protocol.CodeUnknownTopicOrPartition,
	controller.UnknownTopicID:           protocol.CodeUnknownTopicID,
	controller.TopicDeletionDisabled:    protocol.CodeTopicDeletionDisabled,
	controller.NotController:            protocol.CodeNotController,

	controller.ElectionNotNeeded:           protocol.CodeElectionNotNeeded,
	controller.PreferredLeaderNotAvailable: protocol.CodePreferredLeaderNotAvailable,
	controller.EligibleLeadersNotAvailable: protocol.CodeEligibleLeadersNotAvailable,
	controller.NoReassignmentInProgress:    protocol.CodeNoReassignmentInProgress,
	controller.BrokerNotRegistered:         protocol.CodeBrokerIDNotRegistered,
	controller.InvalidUpdateVersion:        protocol.CodeInvalidUpdateVersion,
}

// answer maps an error to the two fields that most responses have for it. An error that
// nobody expected is logged here, since the client is not told what it was.
func (r *request) answer(err error, about ...any) (protocol.ErrorCode, protocol.NullString) {
	if err == nil {
		return protocol.CodeNone, protocol.NullString{}
	}
	code, message := codeOf(err)
	if code == protocol.CodeUnknownServerError {
		api, _ := protocol.Lookup(r.h.Key)
		r.b.log.Error("a request failed", append([]any{"api", api.Name, "err", err}, about...)...)
	}
	r.b.metrics.refused(r.h.Key, code)
	if message == "" {
		message = code.Message()
	}
	return code, protocol.Str(message)
}
