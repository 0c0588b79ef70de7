// Package golden opens log directories that Apache Kafka 1.0.0 and 2.4.1 wrote with the
// real broker, in place, and reads them with franz-go: counts, offsets and checksums are
// those that Kafka's own consumer found (expected.tsv, see its README beside it).
package golden

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/testkit"
)

const data = "../../engine/testdata/golden"

// row is a line of expected.tsv for a reader that sees uncommitted records.
type row struct {
	dir, topic                                string
	partition                                 int32
	records, control, start, first, last, end int64
	values, full                              string
}

func rows(t *testing.T) map[string][]row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "expected.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	byDir := map[string][]row{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		f := strings.Split(line, "\t")
		if f[3] != "read_uncommitted" {
			continue
		}
		dash := strings.LastIndexByte(f[2], '-')
		r := row{dir: filepath.Join("kafka-"+f[0], f[1]), topic: f[2][:dash]}
		n := make([]int64, len(f))
		for i := 4; i <= 12; i++ {
			if n[i], err = strconv.ParseInt(f[i], 10, 64); err != nil {
				t.Fatalf("expected.tsv: %q: %v", line, err)
			}
		}
		p, err := strconv.Atoi(f[2][dash+1:])
		if err != nil {
			t.Fatal(err)
		}
		r.partition = int32(p)
		r.records, r.control, r.start, r.first, r.last, r.end = n[4], n[5], n[6], n[7], n[8], n[9]
		r.values, r.full = f[14], f[15]
		byDir[r.dir] = append(byDir[r.dir], r)
	}
	return byDir
}

func TestKafkaDirectoriesOpenInPlace(t *testing.T) {
	for dir, want := range rows(t) {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(filepath.Join(data, dir))); err != nil {
				t.Fatal(err)
			}
			b := harness.LaunchFor(t, harness.Options{DataDir: copied, Config: map[string]string{
				"broker.id": "0", "log.retention.check.interval.ms": "50",
			}})
			for _, r := range want {
				if oldFormat(r) {
					refused(t, b.Bootstrap(), r)
					continue
				}
				check(t, b.Bootstrap(), r, r.end)
			}
			if err := b.Restart(); err != nil {
				t.Fatal(err)
			}
			for _, r := range want {
				if !oldFormat(r) {
					appendTo(t, b.Bootstrap(), r)
					check(t, b.Bootstrap(), r, r.end+1)
				}
			}
		})
	}
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	t.Cleanup(cancel)
	return ctx
}

func consumer(t *testing.T, bootstrap string, r row) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{r.topic: {r.partition: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// refused: old message formats cost the reader a clear error.
func refused(t *testing.T, bootstrap string, r row) {
	t.Helper()
	cl := consumer(t, bootstrap, r)
	for {
		fetches := cl.PollFetches(bounded(t))
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, kerr.UnsupportedForMessageFormat) {
				return
			}
			t.Fatalf("%s-%d: %v", r.topic, r.partition, e.Err)
		}
		if fetches.NumRecords() > 0 {
			t.Fatalf("%s-%d: records of an old format were served", r.topic, r.partition)
		}
	}
}

// check reads what Kafka wrote, which ends at r.end, of a log that now ends at end.
func check(t *testing.T, bootstrap string, r row, end int64) {
	t.Helper()
	cl := consumer(t, bootstrap, r)
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(bounded(t), r.topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListEndOffsets(bounded(t), r.topic)
	if err != nil {
		t.Fatal(err)
	}
	gotStart, _ := starts.Lookup(r.topic, r.partition)
	gotEnd, _ := ends.Lookup(r.topic, r.partition)
	if gotStart.Offset != r.start || gotEnd.Offset != end && !(grows(r) && gotEnd.Offset > end) {
		t.Fatalf("%s-%d: offsets %d to %d, want %d to %d", r.topic, r.partition, gotStart.Offset, gotEnd.Offset, r.start, end)
	}
	got := row{dir: r.dir, topic: r.topic, partition: r.partition, start: r.start, end: r.end, first: -1}
	values, full := sha256.New(), sha256.New()
	for seen := r.start; seen < end; {
		fetches := cl.PollFetches(bounded(t))
		if err := fetches.Err(); err != nil {
			t.Fatalf("%s-%d after offset %d: %v", r.topic, r.partition, seen, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			seen = rec.Offset + 1
			if rec.Offset < r.end {
				got.add(rec, values, full)
			}
		})
		if seen >= r.last+1 && end == r.end {
			break // a compacted log may end with offsets that nothing is left of
		}
	}
	got.values, got.full = hex.EncodeToString(values.Sum(nil)), hex.EncodeToString(full.Sum(nil))
	got.control, r.control = 0, 0 // markers behind the last record are read or not
	if got != r {
		t.Errorf("got  %+v\nwant %+v", got, r)
	}
}

func (r *row) add(rec *kgo.Record, values, full hash.Hash) {
	if rec.Attrs.IsControl() {
		r.control++
		return
	}
	if r.first < 0 {
		r.first = rec.Offset
	}
	r.last = rec.Offset
	r.records++
	values.Write(append(rec.Value[:len(rec.Value):len(rec.Value)], '\n'))
	headers := make([]string, len(rec.Headers))
	for i, h := range rec.Headers {
		headers[i] = h.Key + "=" + hexOrNull(h.Value)
	}
	fmt.Fprintf(full, "%d\t%d\t%s\t%s\t%s\n", rec.Offset, rec.Timestamp.UnixMilli(), hexOrNull(rec.Key), hexOrNull(rec.Value), strings.Join(headers, ","))
}

func hexOrNull(b []byte) string {
	if b == nil {
		return "null"
	}
	return hex.EncodeToString(b)
}

// appendTo adds one record behind what Kafka wrote.
func appendTo(t *testing.T, bootstrap string, r row) {
	t.Helper()
	id := kgo.ClientID("__admin_client") // who alone may write to internal topics
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.RecordPartitioner(kgo.ManualPartitioner()), id)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	rec := &kgo.Record{Topic: r.topic, Partition: r.partition, Key: []byte("k"), Value: []byte("appended")}
	if err := cl.ProduceSync(bounded(t), rec).FirstErr(); err != nil {
		t.Fatalf("%s-%d: %v", r.topic, r.partition, err)
	}
	if rec.Offset != r.end && !grows(r) {
		t.Fatalf("%s-%d: appended at offset %d, want %d", r.topic, r.partition, rec.Offset, r.end)
	}
}

// grows: the group coordinator writes on, when sessions end that Kafka's members had.
func grows(r row) bool { return r.topic == "__consumer_offsets" }

// TestGroupsOfKafkaGoOn reads the groups that Kafka kept: what they committed, in transactions
// too, is what its own tools show.
func TestGroupsOfKafkaGoOn(t *testing.T) {
	for _, version := range []string{"1.0.0", "2.4.1"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(filepath.Join(data, "kafka-"+version, "06-internal"))); err != nil {
				t.Fatal(err)
			}
			for p := range 50 { // the data has only the partitions with records
				if err := os.MkdirAll(filepath.Join(copied, fmt.Sprintf("__consumer_offsets-%d", p)), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			b := harness.LaunchFor(t, harness.Options{DataDir: copied, Config: map[string]string{"broker.id": "0", "offsets.retention.minutes": "2147483647"}})
			cl, err := kgo.NewClient(kgo.SeedBrokers(b.Bootstrap()))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cl.Close)
			adm := kadm.NewClient(cl)
			for group, want := range map[string][]int64{"group-left": {10, 10, 10}, "group-live": {7, 5, 6}, "group-txn": {6, 8, -1}} {
				got, err := adm.FetchOffsets(bounded(t), group)
				if err != nil {
					t.Fatal(err)
				}
				for p, at := range want {
					if o, ok := got.Lookup("in", int32(p)); ok && o.At != at || !ok && at != -1 {
						t.Errorf("%s, in-%d: %+v, want %d", group, p, o, at)
					}
				}
			}
			described, err := adm.DescribeGroups(bounded(t), "group-left")
			if err != nil || described["group-left"].State != "Empty" || described["group-left"].ProtocolType != "consumer" {
				t.Errorf("group-left: %+v, %v", described, err)
			}
		})
	}
}

// oldFormat: a partition with batches before format v2.
func oldFormat(r row) bool {
	return strings.HasPrefix(r.topic, "v0") || strings.HasPrefix(r.topic, "v1")
}
