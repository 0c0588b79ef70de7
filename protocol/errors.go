package protocol

import "fmt"

// ErrorCode is Kafka's error code of a response. It is no error value by itself; Err makes
// one of it.
type ErrorCode int16

// Kafka's error codes, named as Apache Kafka names them.
const (
	CodeUnknownServerError                 ErrorCode = -1
	CodeNone                               ErrorCode = 0
	CodeOffsetOutOfRange                   ErrorCode = 1
	CodeCorruptMessage                     ErrorCode = 2
	CodeUnknownTopicOrPartition            ErrorCode = 3
	CodeInvalidFetchSize                   ErrorCode = 4
	CodeLeaderNotAvailable                 ErrorCode = 5
	CodeNotLeaderOrFollower                ErrorCode = 6
	CodeRequestTimedOut                    ErrorCode = 7
	CodeBrokerNotAvailable                 ErrorCode = 8
	CodeReplicaNotAvailable                ErrorCode = 9
	CodeMessageTooLarge                    ErrorCode = 10
	CodeStaleControllerEpoch               ErrorCode = 11
	CodeOffsetMetadataTooLarge             ErrorCode = 12
	CodeNetworkException                   ErrorCode = 13
	CodeCoordinatorLoadInProgress          ErrorCode = 14
	CodeCoordinatorNotAvailable            ErrorCode = 15
	CodeNotCoordinator                     ErrorCode = 16
	CodeInvalidTopicException              ErrorCode = 17
	CodeRecordListTooLarge                 ErrorCode = 18
	CodeNotEnoughReplicas                  ErrorCode = 19
	CodeNotEnoughReplicasAfterAppend       ErrorCode = 20
	CodeInvalidRequiredAcks                ErrorCode = 21
	CodeIllegalGeneration                  ErrorCode = 22
	CodeInconsistentGroupProtocol          ErrorCode = 23
	CodeInvalidGroupID                     ErrorCode = 24
	CodeUnknownMemberID                    ErrorCode = 25
	CodeInvalidSessionTimeout              ErrorCode = 26
	CodeRebalanceInProgress                ErrorCode = 27
	CodeInvalidCommitOffsetSize            ErrorCode = 28
	CodeTopicAuthorizationFailed           ErrorCode = 29
	CodeGroupAuthorizationFailed           ErrorCode = 30
	CodeClusterAuthorizationFailed         ErrorCode = 31
	CodeInvalidTimestamp                   ErrorCode = 32
	CodeUnsupportedSaslMechanism           ErrorCode = 33
	CodeIllegalSaslState                   ErrorCode = 34
	CodeUnsupportedVersion                 ErrorCode = 35
	CodeTopicAlreadyExists                 ErrorCode = 36
	CodeInvalidPartitions                  ErrorCode = 37
	CodeInvalidReplicationFactor           ErrorCode = 38
	CodeInvalidReplicaAssignment           ErrorCode = 39
	CodeInvalidConfig                      ErrorCode = 40
	CodeNotController                      ErrorCode = 41
	CodeInvalidRequest                     ErrorCode = 42
	CodeUnsupportedForMessageFormat        ErrorCode = 43
	CodePolicyViolation                    ErrorCode = 44
	CodeOutOfOrderSequenceNumber           ErrorCode = 45
	CodeDuplicateSequenceNumber            ErrorCode = 46
	CodeInvalidProducerEpoch               ErrorCode = 47
	CodeInvalidTxnState                    ErrorCode = 48
	CodeInvalidProducerIDMapping           ErrorCode = 49
	CodeInvalidTransactionTimeout          ErrorCode = 50
	CodeConcurrentTransactions             ErrorCode = 51
	CodeTransactionCoordinatorFenced       ErrorCode = 52
	CodeTransactionalIDAuthorizationFailed ErrorCode = 53
	CodeSecurityDisabled                   ErrorCode = 54
	CodeOperationNotAttempted              ErrorCode = 55
	CodeKafkaStorageError                  ErrorCode = 56
	CodeLogDirNotFound                     ErrorCode = 57
	CodeSaslAuthenticationFailed           ErrorCode = 58
	CodeUnknownProducerID                  ErrorCode = 59
	CodeReassignmentInProgress             ErrorCode = 60
	CodeDelegationTokenAuthDisabled        ErrorCode = 61
	CodeDelegationTokenNotFound            ErrorCode = 62
	CodeDelegationTokenOwnerMismatch       ErrorCode = 63
	CodeDelegationTokenRequestNotAllowed   ErrorCode = 64
	CodeDelegationTokenAuthorizationFailed ErrorCode = 65
	CodeDelegationTokenExpired             ErrorCode = 66
	CodeInvalidPrincipalType               ErrorCode = 67
	CodeNonEmptyGroup                      ErrorCode = 68
	CodeGroupIDNotFound                    ErrorCode = 69
	CodeFetchSessionIDNotFound             ErrorCode = 70
	CodeInvalidFetchSessionEpoch           ErrorCode = 71
	CodeListenerNotFound                   ErrorCode = 72
	CodeTopicDeletionDisabled              ErrorCode = 73
	CodeFencedLeaderEpoch                  ErrorCode = 74
	CodeUnknownLeaderEpoch                 ErrorCode = 75
	CodeUnsupportedCompressionType         ErrorCode = 76
	CodeStaleBrokerEpoch                   ErrorCode = 77
	CodeOffsetNotAvailable                 ErrorCode = 78
	CodeMemberIDRequired                   ErrorCode = 79
	CodePreferredLeaderNotAvailable        ErrorCode = 80
	CodeGroupMaxSizeReached                ErrorCode = 81
	CodeFencedInstanceID                   ErrorCode = 82
	CodeEligibleLeadersNotAvailable        ErrorCode = 83
	CodeElectionNotNeeded                  ErrorCode = 84
	CodeNoReassignmentInProgress           ErrorCode = 85
	CodeGroupSubscribedToTopic             ErrorCode = 86
	CodeInvalidRecord                      ErrorCode = 87
	CodeUnstableOffsetCommit               ErrorCode = 88
	CodeThrottlingQuotaExceeded            ErrorCode = 89
	CodeProducerFenced                     ErrorCode = 90
	CodeResourceNotFound                   ErrorCode = 91
	CodeDuplicateResource                  ErrorCode = 92
	CodeUnacceptableCredential             ErrorCode = 93
	CodeInconsistentVoterSet               ErrorCode = 94
	CodeInvalidUpdateVersion               ErrorCode = 95
	CodeFeatureUpdateFailed                ErrorCode = 96
	CodePrincipalDeserializationFailure    ErrorCode = 97
	CodeSnapshotNotFound                   ErrorCode = 98
	CodePositionOutOfRange                 ErrorCode = 99
	CodeUnknownTopicID                     ErrorCode = 100
	CodeDuplicateBrokerRegistration        ErrorCode = 101
	CodeBrokerIDNotRegistered              ErrorCode = 102
	CodeInconsistentTopicID                ErrorCode = 103
	CodeInconsistentClusterID              ErrorCode = 104
	CodeTransactionalIDNotFound            ErrorCode = 105
	CodeFetchSessionTopicIDError           ErrorCode = 106
	CodeIneligibleReplica                  ErrorCode = 107
	CodeNewLeaderElected                   ErrorCode = 108
	CodeOffsetMovedToTieredStorage         ErrorCode = 109
	CodeFencedMemberEpoch                  ErrorCode = 110
	CodeUnreleasedInstanceID               ErrorCode = 111
	CodeUnsupportedAssignor                ErrorCode = 112
	CodeStaleMemberEpoch                   ErrorCode = 113
	CodeMismatchedEndpointType             ErrorCode = 114
	CodeUnsupportedEndpointType            ErrorCode = 115
	CodeUnknownControllerID                ErrorCode = 116
	CodeUnknownSubscriptionID              ErrorCode = 117
	CodeTelemetryTooLarge                  ErrorCode = 118
	CodeInvalidRegistration                ErrorCode = 119
	CodeTransactionAbortable               ErrorCode = 120
	CodeInvalidRecordState                 ErrorCode = 121
	CodeShareSessionNotFound               ErrorCode = 122
	CodeInvalidShareSessionEpoch           ErrorCode = 123
	CodeFencedStateEpoch                   ErrorCode = 124
	CodeInvalidVoterKey                    ErrorCode = 125
	CodeDuplicateVoter                     ErrorCode = 126
	CodeVoterNotFound                      ErrorCode = 127
	CodeInvalidRegularExpression           ErrorCode = 128
	CodeRebootstrapRequired                ErrorCode = 129
	CodeStreamsInvalidTopology             ErrorCode = 130
	CodeStreamsInvalidTopologyEpoch        ErrorCode = 131
	CodeStreamsTopologyFenced              ErrorCode = 132
	CodeShareSessionLimitReached           ErrorCode = 133
	CodeGroupDeletionFailed                ErrorCode = 134
	CodeStreamsTopologyDescriptionFailed   ErrorCode = 135
	CodeControllerIDNotRegistered          ErrorCode = 136
)

// Name returns Kafka's name, for example "UNKNOWN_TOPIC_OR_PARTITION".
func (c ErrorCode) Name() string {
	if i, ok := c.row(); ok {
		return codes[i].name
	}
	return fmt.Sprintf("UNKNOWN_ERROR_CODE_%d", int16(c))
}

// String returns Kafka's name.
func (c ErrorCode) String() string { return c.Name() }

// Message returns one sentence for people; response fields named ErrorMessage carry it
// when a handler has nothing better to say.
func (c ErrorCode) Message() string {
	if i, ok := c.row(); ok {
		return codes[i].message
	}
	return "the error code is not known"
}

// Retriable reports whether a client may send the same request again.
func (c ErrorCode) Retriable() bool {
	i, ok := c.row()
	return ok && codes[i].retriable
}

// Err returns nil for NONE, else a *CodeError.
func (c ErrorCode) Err() error {
	if c == CodeNone {
		return nil
	}
	return &CodeError{Code: c}
}

func (c ErrorCode) row() (int, bool) {
	i := int(c) - int(CodeUnknownServerError)
	return i, 0 <= i && i < len(codes)
}

// CodeError is an error that a Kafka response carries.
type CodeError struct{ Code ErrorCode }

func (e *CodeError) Error() string { return e.Code.Name() + ": " + e.Code.Message() }
