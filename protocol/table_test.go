package protocol_test

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/protocol"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestServedVersions pins what clients were promised where there is a handler; widening the table changes it here.
func TestServedVersions(t *testing.T) {
	want := map[string][4]int16{ // key, min, max, advertised min
		"ApiVersions": {18, 0, 4, 0}, "Metadata": {3, 0, 13, 0}, "Produce": {0, 3, 13, 0}, "Fetch": {1, 4, 18, 4},
		"ListOffsets": {2, 1, 11, 1}, "CreateTopics": {19, 0, 7, 0}, "DeleteTopics": {20, 0, 6, 0},
		"CreatePartitions": {37, 0, 3, 0}, "InitProducerId": {22, 0, 5, 0}, "OffsetForLeaderEpoch": {23, 2, 4, 2},
		"DescribeConfigs": {32, 1, 4, 1}, "DescribeCluster": {60, 0, 2, 0}, "DescribeLogDirs": {35, 1, 4, 1}, "DeleteRecords": {21, 0, 2, 0},

		"FindCoordinator": {10, 0, 6, 0}, "JoinGroup": {11, 0, 9, 0}, "SyncGroup": {14, 0, 5, 0}, "Heartbeat": {12, 0, 4, 0},
		"LeaveGroup": {13, 0, 5, 0}, "OffsetCommit": {8, 2, 10, 2}, "OffsetFetch": {9, 1, 10, 1}, "ListGroups": {16, 0, 5, 0},
		"DescribeGroups": {15, 0, 6, 0}, "DeleteGroups": {42, 0, 2, 0}, "OffsetDelete": {47, 0, 0, 0},
		"ConsumerGroupHeartbeat": {68, 0, 1, 0}, "ConsumerGroupDescribe": {69, 0, 1, 0},

		"AlterConfigs": {33, 0, 2, 0}, "IncrementalAlterConfigs": {44, 0, 1, 0}, "AlterReplicaLogDirs": {34, 1, 2, 1},
		"ElectLeaders": {43, 0, 2, 0}, "AlterPartitionReassignments": {45, 0, 1, 0}, "ListPartitionReassignments": {46, 0, 0, 0},
		"DescribeClientQuotas": {48, 0, 1, 0}, "AlterClientQuotas": {49, 0, 1, 0}, "DescribeQuorum": {55, 0, 2, 0},
		"UpdateFeatures": {57, 0, 2, 0}, "DescribeProducers": {61, 0, 0, 0}, "UnregisterBroker": {64, 0, 0, 0},
		"GetTelemetrySubscriptions": {71, 0, 0, 0}, "PushTelemetry": {72, 0, 0, 0}, "ListConfigResources": {74, 0, 1, 0},
		"DescribeTopicPartitions": {75, 0, 0, 0},
	}
	for a := range protocol.APIs() {
		if got := [4]int16{a.Key, a.Min, a.Max, a.AdvertisedMin}; got != want[a.Name] {
			t.Errorf("%s: key, min, max, advertised %v, want %v", a.Name, got, want[a.Name])
		}
		delete(want, a.Name)
		if found, ok := protocol.Lookup(a.Key); !ok || found != a {
			t.Errorf("Lookup(%d) = %+v", a.Key, found)
		}
		for v := a.Min; v <= a.Max; v++ {
			req := kmsg.RequestForKey(a.Key)
			if req.SetVersion(v); req.IsFlexible() != a.Flexible(v) {
				t.Errorf("%s %d: flexible %v", a.Name, v, a.Flexible(v))
			}
		}
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
	for _, key := range []int16{-1, 4, 93, 999, 32767, -32768} {
		if a, ok := protocol.Lookup(key); ok || protocol.NewRequest(key) != nil || protocol.NewResponse(key) != nil {
			t.Errorf("key %d is served: %+v", key, a)
		}
	}
}

// TestErrorCodesAreKerrs compares names and retriability with franz-go's table, which
// takes the client's side: the codes in differs are those in which Apache Kafka's own
// exceptions say otherwise (or which were renamed).
func TestErrorCodesAreKerrs(t *testing.T) {
	differs := map[int16]string{6: "renamed", 8: "retriable", 51: "retriable", 122: "retriable", 123: "retriable"}
	for code := int16(-1); code <= 136; code++ {
		ours := protocol.ErrorCode(code)
		if ours.Message() == "" || strings.Contains(ours.Name(), "UNKNOWN_ERROR_CODE") {
			t.Errorf("code %d has no row", code)
		}
		theirs, _ := kerr.ErrorForCode(code).(*kerr.Error)
		if code == 0 {
			if ours.Err() != nil || ours.Name() != "NONE" {
				t.Errorf("NONE is %v", ours.Err())
			}
			continue
		}
		if theirs == nil {
			t.Errorf("kerr has no code %d", code)
			continue
		}
		if ours.Name() != theirs.Message && differs[code] != "renamed" {
			t.Errorf("code %d: %s, kerr %s", code, ours.Name(), theirs.Message)
		}
		if (ours.Retriable() != theirs.Retriable) != (differs[code] == "retriable") {
			t.Errorf("code %d %s: retriable %v, kerr %v", code, ours.Name(), ours.Retriable(), theirs.Retriable)
		}
	}
	if got := protocol.ErrorCode(1234); got.Retriable() || got.Name() != "UNKNOWN_ERROR_CODE_1234" || got.Message() == "" {
		t.Errorf("unknown code: %s, %s", got.Name(), got.Message())
	}
	if err := protocol.CodeInvalidRecord.Err(); err.Error() != "INVALID_RECORD: the broker refused a record of the batch" {
		t.Error(err)
	}
}
