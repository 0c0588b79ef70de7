package replication

import (
	"errors"
	"fmt"
)

// Errors of partitions. Those of package engine and record pass through as they are.
var (
	// ErrNotLeader: another broker leads the partition, or none.
	ErrNotLeader = errors.New("this broker does not lead the partition")
	// ErrUnknownTopicOrPartition: there is no such partition here.
	ErrUnknownTopicOrPartition = errors.New("this broker does not host the partition")
	// ErrNotEnoughReplicas refuses a produce with acks=all before anything was appended.
	ErrNotEnoughReplicas = errors.New("fewer replicas are in sync than min.insync.replicas asks for; nothing was appended")
	// ErrNotEnoughReplicasAfterAppend: the batch is in the log, but fewer replicas have it.
	ErrNotEnoughReplicasAfterAppend = errors.New("fewer replicas are in sync than min.insync.replicas asks for; the batch was appended")
	// ErrTimedOut: the batch is in the log, but its acknowledgement did not come in time.
	ErrTimedOut = errors.New("the acknowledgement did not come within the request's timeout; the batch was appended")
	// ErrOffline: the partition's log could not be opened or created.
	ErrOffline = errors.New("the partition is offline")
	// ErrOffsetNotAvailable: a new leader does not know the latest offset yet (KIP-207).
	ErrOffsetNotAvailable = errors.New("the leader does not know the high watermark of its epoch yet")
	// ErrPolicyViolation refuses DeleteRecords on a topic that is only compacted.
	ErrPolicyViolation = errors.New("records of a topic without cleanup.policy=delete cannot be deleted")
	// ErrClosed: the Manager is closed.
	ErrClosed = errors.New("replication: closed")
)

// FencedEpochError: the request's leader epoch is older than the partition's.
type FencedEpochError struct{ Requested, Current int32 }

func (e *FencedEpochError) Error() string {
	return fmt.Sprintf("leader epoch %d is older than the partition's %d", e.Requested, e.Current)
}

// UnknownEpochError: the request's leader epoch is newer than the partition's.
type UnknownEpochError struct{ Requested, Current int32 }

func (e *UnknownEpochError) Error() string {
	return fmt.Sprintf("leader epoch %d is newer than the partition's %d", e.Requested, e.Current)
}

// OfflineError tells why a partition is offline.
type OfflineError struct{ Err error }

func (e *OfflineError) Error() string { return ErrOffline.Error() + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *OfflineError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrOffline) work.
func (e *OfflineError) Is(target error) bool { return target == ErrOffline }
