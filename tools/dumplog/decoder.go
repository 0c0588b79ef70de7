package dumplog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var errNoKey = errors.New("Failed to decode message using offset topic decoder (message had a missing key)")

// decodeOffsets reads a record of __consumer_offsets. Keys 0 and 1 are committed offsets,
// 2 a classic group; those of newer groups are named and passed over.
func decodeOffsets(f Format, r *rec) (key, value *string, err error) {
	if r.key == nil {
		return nil, nil, errNoKey
	}
	if r.value == nil && f == Format10 {
		return nil, nil, nil
	}
	version := int16(-1)
	if len(r.key) >= 2 {
		version = int16(binary.BigEndian.Uint16(r.key))
	}
	switch version {
	case 0, 1:
		return decodeCommit(f, r)
	case 2:
		return decodeGroup(f, r)
	}
	s := fmt.Sprintf("Unknown record type %d at offset %d, skipping.", version, r.offset)
	return &s, nil, nil
}

func decodeCommit(f Format, r *rec) (key, value *string, err error) {
	k := kmsg.NewOffsetCommitKey()
	if err := k.ReadFrom(r.key); err != nil {
		return failed(r, err)
	}
	v := kmsg.NewOffsetCommitValue()
	if r.value != nil {
		if err := v.ReadFrom(r.value); err != nil {
			return failed(r, err)
		}
	}
	var ks, vs string
	switch f {
	case Format10:
		ks, vs = fmt.Sprintf("offset::%s:%s:%d", k.Group, k.Topic, k.Partition), fmt.Sprint(v.Offset)
		if v.Metadata != "" {
			vs += ":" + v.Metadata
		}
	case Format24:
		ks, vs = fmt.Sprintf("offset_commit::group=%s,partition=%s-%d", k.Group, k.Topic, k.Partition), fmt.Sprintf("offset=%d", v.Offset)
		if v.Metadata != "" {
			vs += ",metadata=" + v.Metadata
		}
	default:
		ks = jsonObject("type", text16(k.Version), "data", raw(jsonObject("group", k.Group, "topic", k.Topic, "partition", k.Partition)))
		fields := []any{"offset", v.Offset}
		if v.Version >= 3 {
			fields = append(fields, "leaderEpoch", v.LeaderEpoch)
		}
		fields = append(fields, "metadata", v.Metadata, "commitTimestamp", v.CommitTimestamp)
		if v.Version == 1 {
			fields = append(fields, "expireTimestamp", v.ExpireTimestamp)
		}
		vs = jsonObject("version", text16(v.Version), "data", raw(jsonObject(fields...)))
	}
	return &ks, orDeleted(r, vs), nil
}

func decodeGroup(f Format, r *rec) (key, value *string, err error) {
	k := kmsg.NewGroupMetadataKey()
	if err := k.ReadFrom(r.key); err != nil {
		return failed(r, err)
	}
	v := kmsg.NewGroupMetadataValue()
	if r.value != nil {
		if err := v.ReadFrom(r.value); err != nil {
			return failed(r, err)
		}
	}
	var ks, vs string
	switch f {
	case Format10:
		ks = jsonObject("metadata", k.Group)
	case Format24:
		ks = "group_metadata::group=" + k.Group
	default:
		ks = jsonObject("type", text16(k.Version), "data", raw(jsonObject("group", k.Group)))
		vs = jsonObject("version", text16(v.Version), "data", raw(groupJSON(&v)))
		return &ks, orDeleted(r, vs), nil
	}
	vs = jsonObject("protocolType", v.ProtocolType, "protocol", v.Protocol, "generationId", v.Generation, "assignment", assignmentText(&v))
	return &ks, orDeleted(r, vs), nil
}

// assignmentText is {member=[topic-partition, ...],...}.
func assignmentText(v *kmsg.GroupMetadataValue) string {
	var members []string
	for _, m := range v.Members {
		text := hexNumber(m.Assignment)
		if a := kmsg.NewConsumerMemberAssignment(); v.ProtocolType == "consumer" && a.ReadFrom(m.Assignment) == nil {
			var partitions []string
			for _, t := range a.Topics {
				for _, p := range t.Partitions {
					partitions = append(partitions, fmt.Sprintf("%s-%d", t.Topic, p))
				}
			}
			text = "[" + strings.Join(partitions, ", ") + "]"
			if len(a.UserData) > 0 {
				text += ":" + hexNumber(a.UserData)
			}
		}
		members = append(members, m.MemberID+"="+text)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// hexNumber prints bytes as one upper-case number, without leading zeros.
func hexNumber(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return fmt.Sprintf("%X", new(big.Int).SetBytes(b))
}

// decodeTransaction reads a record of __transaction_state.
func decodeTransaction(f Format, r *rec) (key, value *string, err error) {
	k := kmsg.NewTxnMetadataKey()
	if err := k.ReadFrom(r.key); err != nil {
		return failed(r, err)
	}
	if k.Version != 0 {
		s := fmt.Sprintf("unknown::version=%d", k.Version)
		return &s, nil, nil
	}
	ks := "transaction_metadata::transactionalId=" + k.TransactionalID
	if f == Format10 {
		ks = "transactionalId=" + k.TransactionalID
	}
	v := kmsg.NewTxnMetadataValue()
	if r.value == nil {
		return &ks, orDeleted(r, ""), nil
	}
	if err := v.ReadFrom(r.value); err != nil {
		return failed(r, err)
	}
	var partitions []string
	for _, t := range v.Topics {
		for _, p := range t.Partitions {
			partitions = append(partitions, fmt.Sprintf("%s-%d", t.Topic, p))
		}
	}
	set := "[" + strings.Join(partitions, ",") + "]"
	if f != FormatToday {
		set = "Set(" + strings.Join(partitions, ", ") + ")"
	}
	vs := fmt.Sprintf("producerId:%d,producerEpoch:%d,state=%s,partitions=%s,txnLastUpdateTimestamp=%d,txnTimeoutMs=%d",
		v.ProducerID, v.ProducerEpoch, transactionState(v.State), set, v.LastUpdateTimestamp, v.TimeoutMillis)
	return &ks, &vs, nil
}

func transactionState(s kmsg.TransactionState) string {
	names := []string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("Unknown(%d)", int8(s))
	}
	return names[s]
}

func orDeleted(r *rec, s string) *string {
	if r.value == nil {
		s = "<DELETE>"
	}
	return &s
}

func failed(r *rec, err error) (key, value *string, _ error) {
	s := fmt.Sprintf("Error at offset %d, skipping. %v", r.offset, err)
	return &s, nil, nil
}

func text16(v int16) string { return fmt.Sprint(v) }
