package journal_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/coordinator/group/journal"
	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/record"
)

func text(rng *rand.Rand) string {
	b := make([]byte, rng.IntN(20))
	for i := range b {
		b[i] = byte('a' + rng.IntN(26))
	}
	return string(b)
}

func blob(rng *rand.Rand) []byte {
	b := make([]byte, rng.IntN(30))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// TestKeysAndValuesAreThoseOfKafka compares both directions with franz-go's codecs, for all
// versions.
func TestKeysAndValuesAreThoseOfKafka(t *testing.T) {
	rng := testkit.Rand(t)
	for range 300 {
		checkOffset(t, rng)
		checkGroup(t, rng)
	}
}

func checkOffset(t *testing.T, rng *rand.Rand) {
	t.Helper()
	theirKey := kmsg.OffsetCommitKey{Version: 1, Group: text(rng), Topic: text(rng), Partition: rng.Int32()}
	key := journal.OffsetKey(theirKey.Group, theirKey.Topic, theirKey.Partition)
	if want := theirKey.AppendTo(nil); !bytes.Equal(key, want) {
		t.Fatalf("key %x, want %x", key, want)
	}
	got, err := journal.ReadKey(key)
	if want := (journal.Key{Kind: journal.KindOffset, Group: theirKey.Group, Topic: theirKey.Topic, Partition: theirKey.Partition}); err != nil || got != want {
		t.Fatalf("key read as %+v, %v, want %+v", got, err, want)
	}
	ours := journal.Offset{Offset: rng.Int64(), LeaderEpoch: rng.Int32(), Metadata: text(rng), CommitTimeMs: rng.Int64(), ExpireTimeMs: -1}
	if rng.IntN(2) == 0 {
		ours.ExpireTimeMs = rng.Int64()
	}
	var back kmsg.OffsetCommitValue
	if err := back.ReadFrom(ours.Append(nil)); err != nil {
		t.Fatal(err)
	}
	for version := int16(0); version <= 4; version++ {
		their := kmsg.OffsetCommitValue{
			Version: version, Offset: ours.Offset, LeaderEpoch: ours.LeaderEpoch, Metadata: ours.Metadata, CommitTimestamp: ours.CommitTimeMs, ExpireTimestamp: ours.ExpireTimeMs,
		}
		if version == 4 {
			their.TopicID = [16]byte{1, 2, 3} // a tag that this reader has no use for
		}
		wire := their.AppendTo(nil)
		want := ours
		if version != 1 {
			want.ExpireTimeMs = -1
		}
		if version < 3 {
			want.LeaderEpoch = -1
		}
		got, err := journal.ReadOffset(wire)
		if err != nil || got != want {
			t.Fatalf("version %d read as %+v, %v, want %+v", version, got, err, want)
		}
		if (version == 3 && ours.ExpireTimeMs < 0 || version == 1 && ours.ExpireTimeMs >= 0) && !bytes.Equal(ours.Append(nil), wire) {
			t.Fatalf("written as %x, want %x", ours.Append(nil), wire)
		}
	}
}

func checkGroup(t *testing.T, rng *rand.Rand) {
	t.Helper()
	theirKey := kmsg.GroupMetadataKey{Version: 2, Group: text(rng)}
	if got, want := journal.GroupKey(theirKey.Group), theirKey.AppendTo(nil); !bytes.Equal(got, want) {
		t.Fatalf("key %x, want %x", got, want)
	}
	ours := journal.Group{ProtocolType: text(rng), Generation: rng.Int32(), Protocol: text(rng), Leader: text(rng), StateTimeMs: rng.Int64()}
	for range rng.IntN(4) {
		ours.Members = append(ours.Members, journal.Member{
			ID: text(rng), InstanceID: text(rng), ClientID: text(rng), ClientHost: text(rng), RebalanceTimeoutMs: rng.Int32(), SessionTimeoutMs: rng.Int32(),
			Subscription: blob(rng), Assignment: blob(rng),
		})
	}
	for version := int16(0); version <= 4; version++ {
		their := kmsg.GroupMetadataValue{
			Version: version, ProtocolType: ours.ProtocolType, Generation: ours.Generation, Protocol: orNil(ours.Protocol), Leader: orNil(ours.Leader), CurrentStateTimestamp: ours.StateTimeMs,
		}
		want := ours
		want.Members = append([]journal.Member(nil), ours.Members...)
		if version < 2 {
			want.StateTimeMs = -1
		}
		for i := range want.Members {
			m := &want.Members[i]
			their.Members = append(their.Members, kmsg.GroupMetadataValueMember{
				MemberID: m.ID, InstanceID: orNil(m.InstanceID), ClientID: m.ClientID, ClientHost: m.ClientHost, RebalanceTimeoutMillis: m.RebalanceTimeoutMs,
				SessionTimeoutMillis: m.SessionTimeoutMs, Subscription: m.Subscription, Assignment: m.Assignment,
			})
			if version < 3 {
				m.InstanceID = ""
			}
			if version < 1 {
				m.RebalanceTimeoutMs = m.SessionTimeoutMs
			}
		}
		wire := their.AppendTo(nil)
		got, err := journal.ReadGroup(wire)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("version %d read as\n%+v, %v, want\n%+v", version, got, err, want)
		}
		if version == 3 && !bytes.Equal(ours.Append(nil), wire) {
			t.Fatalf("written as %x, want %x", ours.Append(nil), wire)
		}
	}
}

// TestGoldenLogs reads what Kafka wrote; whatever version it is, it means the same when it is
// written by this package.
func TestGoldenLogs(t *testing.T) {
	want := map[string]map[string]int64{ // what kafka-dump-log --offsets-decoder shows last
		"__consumer_offsets-7":  {"group-left/in-0": 10, "group-left/in-1": 10, "group-left/in-2": 10},
		"__consumer_offsets-30": {"group-txn/in-0": 6, "group-txn/in-1": 8},
		"__consumer_offsets-32": {"group-live/in-0": 7, "group-live/in-1": 5, "group-live/in-2": 6},
	}
	files, err := filepath.Glob("../../../engine/testdata/golden/kafka-*/06-internal/__consumer_offsets-*/*.log")
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files of golden data, %v", len(files), err)
	}
	for _, file := range files {
		buf, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]int64{}
		groups := 0
		for len(buf) > 0 {
			b, rest, err := record.Next(buf)
			if err != nil {
				t.Fatal(err)
			}
			buf = rest
			if b.IsControl() {
				continue
			}
			err = b.Iterate(nil, func(r *record.Record) error {
				k, err := journal.ReadKey(r.Key)
				if err != nil {
					return err
				}
				if k.Kind == journal.KindGroup {
					groups++
					return checkGoldenGroup(t, k, r)
				}
				o, err := journal.ReadOffset(r.Value)
				last[k.Group+"/"+k.Topic+"-"+string(rune('0'+k.Partition))] = o.Offset
				if !bytes.Equal(journal.OffsetKey(k.Group, k.Topic, k.Partition), r.Key) {
					t.Errorf("%s: key %x is written otherwise", file, r.Key)
				}
				return err
			})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		for tp, o := range want[filepath.Base(filepath.Dir(file))] {
			if last[tp] != o {
				t.Errorf("%s: %s at %d, want %d", file, tp, last[tp], o)
			}
		}
		if groups == 0 || len(last) == 0 {
			t.Errorf("%s: %d groups, %d offsets", file, groups, len(last))
		}
	}
}

func checkGoldenGroup(t *testing.T, k journal.Key, r *record.Record) error {
	if got, want := journal.Partition(k.Group, 50), map[string]int32{"group-left": 7, "group-txn": 30, "group-live": 32}[k.Group]; got != want {
		t.Errorf("group %s hashes to partition %d, Kafka put it into %d", k.Group, got, want)
	}
	g, err := journal.ReadGroup(r.Value)
	if err != nil {
		return err
	}
	again, err := journal.ReadGroup(g.Append(nil))
	if err != nil || !reflect.DeepEqual(again, g) {
		t.Errorf("%+v reads back as %+v, %v", g, again, err)
	}
	for _, m := range g.Members {
		if topics, err := journal.SubscribedTopics(m.Subscription); err != nil || len(topics) != 1 || topics[0] != "in" {
			t.Errorf("member %s of %s reads %v, %v", m.ID, k.Group, topics, err)
		}
	}
	return nil
}

// TestPartitionIsJavas has hash codes that a Java shell printed or that are known from its
// documentation.
func TestPartitionIsJavas(t *testing.T) {
	for group, want := range map[string]int32{
		"": 0, "hello": 99162322 % 50, "group-txn": 30,
		"polygenelubricants": 0, // hashCode is Integer.MIN_VALUE, which Kafka takes for 0
		"ü":                  252 % 50,
		"😀":                  (0xd83d*31 + 0xde00) % 50,
	} {
		if got := journal.Partition(group, 50); got != want {
			t.Errorf("%q: partition %d, want %d", group, got, want)
		}
	}
}

func TestBadRecordsAreErrors(t *testing.T) {
	key := journal.OffsetKey("g", "t", 1)
	value := (&journal.Group{ProtocolType: "consumer", Members: []journal.Member{{ID: "a"}}}).Append(nil)
	for name, read := range map[string]func() error{
		"short key":     func() error { _, err := journal.ReadKey(key[:len(key)-1]); return err },
		"long key":      func() error { _, err := journal.ReadKey(append(key, 0)); return err },
		"empty key":     func() error { _, err := journal.ReadKey(nil); return err },
		"unknown key":   func() error { _, err := journal.ReadKey([]byte{0, 9, 0, 0}); return err },
		"unknown value": func() error { _, err := journal.ReadOffset([]byte{0, 9}); return err },
		"short value":   func() error { _, err := journal.ReadGroup(value[:len(value)-1]); return err },
		"hostile count": func() error {
			_, err := journal.ReadGroup([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff})
			return err
		},
	} {
		if _, ok := errors.AsType[*journal.FormatError](read()); !ok {
			t.Errorf("%s: %v is no FormatError", name, read())
		}
	}
}

func FuzzRead(f *testing.F) {
	o := journal.Offset{Offset: 1, Metadata: "m", ExpireTimeMs: 7}
	g := journal.Group{ProtocolType: "consumer", Generation: 3, Protocol: "range", Leader: "a", Members: []journal.Member{{ID: "a", InstanceID: "i", Subscription: []byte{0, 1, 0, 0, 0, 0}}}}
	flexible := kmsg.GroupMetadataValue{Version: 4, Members: []kmsg.GroupMetadataValueMember{{MemberID: "a"}}}
	for _, seed := range [][]byte{journal.OffsetKey("g", "t", 1), journal.GroupKey("g"), o.Append(nil), g.Append(nil), flexible.AppendTo(nil)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := journal.ReadKey(b); err == nil && k.Kind == journal.KindGroup && !bytes.Equal(journal.GroupKey(k.Group), b) {
			t.Errorf("key %x is written as %x", b, journal.GroupKey(k.Group))
		}
		if o, err := journal.ReadOffset(b); err == nil {
			again, err := journal.ReadOffset(o.Append(nil))
			if o.ExpireTimeMs >= 0 {
				o.LeaderEpoch = -1
			} else {
				o.ExpireTimeMs = -1
			}
			if err != nil || again != o {
				t.Errorf("%+v reads back as %+v, %v", o, again, err)
			}
		}
		if g, err := journal.ReadGroup(b); err == nil {
			if len(g.Members) > len(b) {
				t.Errorf("%d members of %d bytes", len(g.Members), len(b))
			}
			if _, err := journal.ReadGroup(g.Append(nil)); err != nil {
				t.Errorf("%+v: %v", g, err)
			}
		}
		journal.SubscribedTopics(b)
	})
}
