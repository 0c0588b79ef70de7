package raw

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/protocol"
)

// TestHeartbeats: another's coordinator takes every heartbeat for that of a member, and the
// members leave, so that the next run need not wait for their sessions.
func TestHeartbeats(t *testing.T) {
	c := fake(t, 2, map[string]int32{"log": 1}, kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	var left atomic.Int32
	c.ControlKey(int16(kmsg.LeaveGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		left.Add(1)
		return nil, nil, false
	})
	target := dialFake(t, c)
	st, err := Heartbeats(t.Context(), target, HeartbeatSpec{
		Common: Common{Partitions: partitions(t, target, "log", 0), Connections: 7, Depth: 3, Records: 500}, Groups: 3,
	})
	if err != nil || st.Requests != 500 || st.Errors != 0 || st.Uncorrected.Count() != 500 {
		t.Fatalf("%d requests, %d errors, %d latencies, %v", st.Requests, st.Errors, st.Uncorrected.Count(), err)
	}
	if left.Load() != 3 {
		t.Errorf("%d members left their groups, want 3", left.Load())
	}
}

// TestHeartbeatsOfStrangers: what a coordinator refuses is counted by its code.
func TestHeartbeatsOfStrangers(t *testing.T) {
	c := fake(t, 1, map[string]int32{"log": 1}, kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	joined := false
	c.ControlKey(int16(kmsg.Heartbeat), func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := q.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		if joined {
			resp.ErrorCode = kerr.RebalanceInProgress.Code
		}
		joined = true
		return resp, nil, true
	})
	target := dialFake(t, c)
	st, err := Heartbeats(t.Context(), target, HeartbeatSpec{Common: Common{Partitions: partitions(t, target, "log", 0), Records: 20}})
	var failed *AllFailedError
	if !errors.As(err, &failed) || failed.Codes[int16(protocol.CodeRebalanceInProgress)] != 20 || st.Errors != 20 {
		t.Errorf("%d errors, %v", st.Errors, err)
	}
}
