package journal

import (
	"bytes"
	"reflect"
	"testing"
)

// Bytes by hand from Kafka's ConsumerProtocolSubscription.json and ConsumerProtocolAssignment.json.
func TestEmbeddedProtocol(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      Subscription
	}{
		{"version 0", "0000 00000001 0003666f6f ffffffff", Subscription{Topics: []string{"foo"}}},
		{"version 1", "0001 00000001 0003666f6f 00000001 07 00000001 0003666f6f 00000002 00000002 00000001",
			Subscription{Version: 1, Topics: []string{"foo"}, Owned: []NamedPartitions{{"foo", []int32{1, 2}}}}},
		{"version 3", "0003 00000000 ffffffff 00000000 00000005 000172", Subscription{Version: 3, RackID: "r"}},
		{"version of the future", "0009 00000000 ffffffff 00000000 00000005 ffff 010203", Subscription{Version: 9}},
	} {
		if got, err := ReadSubscription(unhex(t, c.hex)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for _, bad := range []string{"", "ffff", "0000 7fffffff", "0001 00000000 ffffffff 00000001 0001", "0000 00000000 fffffffe"} {
		if _, err := ReadSubscription(unhex(t, bad)); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
	parts := []NamedPartitions{{"foo", []int32{0, 2}}}
	want := unhex(t, "0001 00000001 0003666f6f 00000002 00000000 00000002 ffffffff")
	got := AppendAssignment(nil, 1, parts)
	if !bytes.Equal(got, want) {
		t.Errorf("assignment %x, want %x", got, want)
	}
	if back, ours, err := ReadAssignment(got); err != nil || !ours || !reflect.DeepEqual(back, parts) {
		t.Errorf("read back %v, %v, %v", back, ours, err)
	}
	if _, ours, err := ReadAssignment(unhex(t, "0000 00000000 00000001 07")); ours || err != nil {
		t.Errorf("user data: %v, %v", ours, err)
	}
	if got := AppendAssignment(nil, 9, nil); got[1] != embeddedCurrent {
		t.Errorf("version %d", got[1])
	}
}
