package journal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

var (
	id1 = [16]byte{1, 15: 0x11}
	id2 = [16]byte{2, 15: 0x22}
)

// The bytes were put together by hand from Kafka's message definitions
// (ConsumerGroup*Key.json and *Value.json, generator MessageDataGenerator).
var consumerGoldens = []struct {
	name       string
	record     ConsumerRecord
	key, value string // hex; a value of "" is a tombstone
}{
	{"epoch", ConsumerRecord{Kind: KindConsumerGroup, Group: "grp", Epoch: 10},
		"0003 0003677270", "0000 0000000a 00"},
	{"epoch tombstone", ConsumerRecord{Kind: KindConsumerGroup, Group: "grp", Deleted: true}, "0003 0003677270", ""},
	{"topics", ConsumerRecord{Kind: KindConsumerTopics, Group: "g", Topics: []ConsumerTopic{{ID: id1, Name: "foo", NumPartitions: 3}, {ID: id2, Name: "b", NumPartitions: 16}}},
		"0004 000167", "0000 03 01000000000000000000000000000011 04666f6f 00000003 01 00 02000000000000000000000000000022 0262 00000010 01 00 00"},
	{"member", ConsumerRecord{Kind: KindConsumerMember, Group: "g", Name: "m1", Member: &ConsumerMember{
		InstanceID: "i", RackID: "r", ClientID: "c", ClientHost: "/1.2.3.4", SubscribedTopicNames: []string{"bar", "foo"},
		SubscribedTopicRegex: "f.*", RebalanceTimeoutMs: 5000, ServerAssignor: "range"}},
		"0005 000167 00026d31", "0000 0269 0272 0263 092f312e322e332e34 03 04626172 04666f6f 04662e2a 00001388 0672616e6765 00"},
	{"member with little", ConsumerRecord{Kind: KindConsumerMember, Group: "g", Name: "m1", Member: &ConsumerMember{SubscribedTopicNames: []string{}, RebalanceTimeoutMs: -1}},
		"0005 000167 00026d31", "0000 00 00 01 01 01 00 ffffffff 00 00"},
	{"member of the classic protocol", ConsumerRecord{Kind: KindConsumerMember, Group: "g", Name: "m", Member: &ConsumerMember{
		ClientID: "c", ClientHost: "h", SubscribedTopicNames: []string{}, RebalanceTimeoutMs: 1,
		Classic: &ConsumerClassic{SessionTimeoutMs: 258, Protocols: []ClassicProtocol{{Name: "p", Metadata: []byte{7, 8}}}}}},
		"0005 000167 00016d", "0000 00 00 0263 0268 01 00 00000001 00 01 00 0d 01 00000102 02 0270 030708 00 00"},
	{"target epoch", ConsumerRecord{Kind: KindConsumerTargetEpoch, Group: "g", Epoch: 11}, "0006 000167", "0000 0000000b 00"},
	{"target", ConsumerRecord{Kind: KindConsumerTarget, Group: "g", Name: "m", Target: []TopicPartitions{{TopicID: id1, Partitions: []int32{1, 2}}}},
		"0007 000167 00016d", "0000 02 01000000000000000000000000000011 03 00000001 00000002 00 00"},
	{"current", ConsumerRecord{Kind: KindConsumerCurrent, Group: "g", Name: "m", Current: &ConsumerCurrent{
		MemberEpoch: 22, PreviousMemberEpoch: 21, State: 1, Assigned: []TopicPartitions{{TopicID: id1, Partitions: []int32{1}}}, PendingRevocation: []TopicPartitions{{TopicID: id2, Partitions: []int32{4}}}}},
		"0008 000167 00016d", "0000 00000016 00000015 01 02 01000000000000000000000000000011 02 00000001 00 02 02000000000000000000000000000022 02 00000004 00 00"},
	{"current tombstone", ConsumerRecord{Kind: KindConsumerCurrent, Group: "g", Name: "m", Deleted: true}, "0008 000167 00016d", ""},
	{"regex", ConsumerRecord{Kind: KindConsumerRegex, Group: "g", Name: "ab*", Regex: &ConsumerRegex{Topics: []string{"a", "bc"}, Version: 7, TimestampMs: 0x18bcfe56800}},
		"0010 000167 000361622a", "0000 03 0261 036263 0000000000000007 0000018bcfe56800 00"},
}

func TestConsumerRecords(t *testing.T) {
	for _, g := range consumerGoldens {
		t.Run(g.name, func(t *testing.T) {
			got := g.record.Record()
			if want := unhex(t, g.key); !bytes.Equal(got.Key, want) {
				t.Errorf("key\n%x, want\n%x", got.Key, want)
			}
			if want := unhex(t, g.value); !bytes.Equal(got.Value, want) || (got.Value == nil) != g.record.Deleted {
				t.Errorf("value\n%x, want\n%x", got.Value, want)
			}
			back, err := ReadConsumer(got.Key, got.Value)
			if err != nil || !reflect.DeepEqual(back, g.record) {
				t.Errorf("read back %+v, %v", back, err)
			}
			for n := range got.Value {
				if _, err := ReadConsumer(got.Key, got.Value[:n]); err == nil && n > 0 {
					t.Errorf("the first %d bytes of the value pass", n)
				}
			}
			for n := range got.Key {
				if _, err := ReadConsumer(got.Key[:n], got.Value); err == nil {
					t.Errorf("the first %d bytes of the key pass", n)
				}
			}
		})
	}
}

// Later versions of Kafka add tags, earlier ones the racks of partitions.
func TestConsumerRecordsOfOtherVersions(t *testing.T) {
	c, err := ReadConsumer(unhex(t, "0003000167"), unhex(t, "0000 00000005 01 00 08 0102030405060708"))
	if err != nil || c.Epoch != 5 {
		t.Errorf("with the hash of Kafka 4.1: %+v, %v", c, err)
	}
	c, err = ReadConsumer(unhex(t, "0004000167"), unhex(t, "0000 02 01000000000000000000000000000011 0261 00000001 02 00000000 03 0272 0273 00 00 00"))
	if err != nil || len(c.Topics) != 1 || c.Topics[0].NumPartitions != 1 {
		t.Errorf("with the racks of Kafka 3.9: %+v, %v", c, err)
	}
}

func TestConsumerRecordsThatLie(t *testing.T) {
	for _, g := range []struct{ key, value string }{
		{"0002000167", ""},                                                  // a classic group
		{"0003000167", "0001 0000000a 00"},                                  // a version of the future
		{"0007 000167 00016d", "0000 ffffffff0f"},                           // four billion topics
		{"0005 000167 00016d", "0000 0000010101 00 00000001 00 ff7f"},       // many tags
		{"0005 000167 00016d", "0000 0000010101 00 00000001 00 01 00 ff7f"}, // a long tag
		{"0003000167", "0000 0000000a 00 00"},                               // too long
	} {
		var value []byte
		if g.value != "" {
			value = unhex(t, g.value)
		}
		var format *FormatError
		if _, err := ReadConsumer(unhex(t, g.key), value); !errors.As(err, &format) {
			t.Errorf("%s %s: %v", g.key, g.value, err)
		}
	}
}

func FuzzReadConsumer(f *testing.F) {
	for _, g := range consumerGoldens {
		r := g.record.Record()
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		c, err := ReadConsumer(key, value)
		if err != nil {
			return
		}
		r := c.Record()
		if back, err := ReadConsumer(r.Key, r.Value); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("%+v became %+v, %v", c, back, err)
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	if s == "" {
		return nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
