package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/producer"
	"github.com/millrace/millrace/record"
)

// The directories under testdata/golden were written by Apache Kafka 1.0.0 and 2.4.1;
// expected.tsv holds what Kafka's own consumer read from them.
const goldenDir = "testdata/golden"

type goldenRow struct {
	version, dir, partition string
	records, control        int
	logStart, first, last   int64
	logEnd, lastStable      int64
	nullKeys, nullValues    int
	withHeaders             int
	sumValues, sumFull      string
}

func goldenRows(t testing.TB) []goldenRow {
	t.Helper()
	var rows []goldenRow
	lines := strings.Split(strings.TrimSpace(string(mustRead(t, goldenDir, "expected.tsv"))), "\n")
	for _, line := range lines[1:] {
		f := strings.Split(line, "\t")
		if f[3] != "read_uncommitted" {
			continue // read_committed rows wait for transactions
		}
		n := func(i int) int64 {
			v, err := strconv.ParseInt(f[i], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		rows = append(rows, goldenRow{
			version: f[0], dir: filepath.Join(goldenDir, "kafka-"+f[0], f[1]), partition: f[2],
			records: int(n(4)), control: int(n(5)), logStart: n(6), first: n(7), last: n(8), logEnd: n(9), lastStable: n(10),
			nullKeys: int(n(11)), nullValues: int(n(12)), withHeaders: int(n(13)), sumValues: f[14], sumFull: f[15],
		})
	}
	if len(rows) != 74-8 && len(rows) < 60 {
		t.Fatalf("%d rows", len(rows))
	}
	return rows
}

func (r goldenRow) oldFormat() bool { return strings.HasPrefix(r.partition, "v") }

// openGolden opens a copy of a golden directory.
func openGolden(t testing.TB, dir string) (*env, *Store) {
	e := newEnv(t)
	copyTree(t, dir, e.dir)
	s := e.open(t)
	if err := s.Dirs()[0].Err; err != nil {
		t.Fatal(err)
	}
	return e, s
}

func goldenLog(t testing.TB, s *Store, partition string) *Log {
	t.Helper()
	tp, ok := parseDir(partition)
	if !ok {
		t.Fatal(partition)
	}
	l, ok := s.Get(tp)
	if !ok {
		t.Fatalf("%s was not loaded", partition)
	}
	return l
}

func TestGoldenDirectoriesAreRead(t *testing.T) {
	for _, dir := range goldenCases(t) {
		t.Run(strings.TrimPrefix(dir, goldenDir+"/"), func(t *testing.T) {
			e, s := openGolden(t, dir)
			checkGolden(t, s, dir)
			// A second time, after our own clean stop.
			mustClose(t, s)
			checkGolden(t, e.open(t), dir)
		})
	}
}

func goldenCases(t testing.TB) (dirs []string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, r := range goldenRows(t) {
		if !seen[r.dir] {
			seen[r.dir] = true
			dirs = append(dirs, r.dir)
		}
	}
	return dirs
}

func checkGolden(t *testing.T, s *Store, dir string) {
	t.Helper()
	for _, r := range goldenRows(t) {
		if r.dir != dir {
			continue
		}
		l := goldenLog(t, s, r.partition)
		if r.oldFormat() {
			checkRefused(t, l)
			continue
		}
		if err := l.Failure(); err != nil {
			t.Errorf("%s: %v", r.partition, err)
			continue
		}
		l.SetHighWatermark(l.LogEndOffset())
		got := describe(t, l)
		want := r
		want.version, want.dir, want.partition = "", "", ""
		if got != want {
			t.Errorf("%s:\n got %+v\nwant %+v", r.partition, got, want)
		}
	}
}

func checkRefused(t *testing.T, l *Log) {
	t.Helper()
	var unavailable *UnavailableError
	if _, err := l.Read(0, 1000, math.MaxInt64, true); !errors.Is(err, record.ErrUnsupportedMagic) || !errors.As(err, &unavailable) {
		t.Errorf("%s: read: %v", l.TopicPartition(), err)
	}
	if _, err := l.AppendAsLeader(batch(t, 1, "x"), 0, Client); !errors.Is(err, record.ErrUnsupportedMagic) {
		t.Errorf("%s: append: %v", l.TopicPartition(), err)
	}
	if l.SizeBytes() == 0 || l.LogEndOffset() == 0 {
		t.Errorf("%s: size %d, end %d", l.TopicPartition(), l.SizeBytes(), l.LogEndOffset())
	}
}

// describe computes a row from what the log holds.
func describe(t *testing.T, l *Log) goldenRow {
	t.Helper()
	got := goldenRow{
		logStart: l.LogStartOffset(), logEnd: l.LogEndOffset(), lastStable: l.LastStableOffset(), first: -1, last: -1,
	}
	vals, full := sha256.New(), sha256.New()
	for _, b := range readAll(t, l, l.LogStartOffset()) {
		err := b.Iterate(nil, func(r *record.Record) error {
			switch {
			case r.Offset < l.LogStartOffset():
			case b.IsControl():
				got.control++
			default:
				got.add(r)
				fmt.Fprintf(vals, "%s\n", r.Value)
				fmt.Fprintf(full, "%d\t%d\t%s\t%s\t%s\n", r.Offset, r.Timestamp, hexOrNull(r.Key), hexOrNull(r.Value), headers(t, r))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got.sumValues, got.sumFull = hex.EncodeToString(vals.Sum(nil)), hex.EncodeToString(full.Sum(nil))
	return got
}

func (r *goldenRow) add(rec *record.Record) {
	r.records++
	if r.first < 0 {
		r.first = rec.Offset
	}
	r.last = rec.Offset
	if rec.Key == nil {
		r.nullKeys++
	}
	if rec.Value == nil {
		r.nullValues++
	}
	if rec.HeaderCount > 0 {
		r.withHeaders++
	}
}

func hexOrNull(b []byte) string {
	if b == nil {
		return "null"
	}
	return hex.EncodeToString(b)
}

func headers(t *testing.T, r *record.Record) string {
	var parts []string
	err := r.Headers(func(k, v []byte) bool {
		parts = append(parts, string(k)+"="+hexOrNull(v))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(parts, ",")
}

// TestGoldenUncleanIsRecoveredAsKafkaDoes compares what recovery leaves with what the same
// Kafka version left after its own recovery of the same directory.
func TestGoldenUncleanIsRecoveredAsKafkaDoes(t *testing.T) {
	for _, version := range []string{"kafka-1.0.0", "kafka-2.4.1"} {
		for from, to := range map[string]string{
			"03-unclean":              "03-unclean-recovered",
			"03-unclean-torn-by-hand": "03-unclean-torn-recovered",
		} {
			t.Run(version+"/"+from, func(t *testing.T) {
				e := newEnv(t)
				copyTree(t, filepath.Join(goldenDir, version, from), e.dir)
				// Some producers of these logs are long past expiry when Kafka recovers them.
				e.clock.Set(time.UnixMilli(1_795_351_160_000))
				e.opts.ProducerExpirationMs = 7 * 24 * 3600 * 1000
				mustClose(t, e.open(t))
				compareRecovered(t, filepath.Join(goldenDir, version, to), e.dir)
			})
		}
	}
}

func compareRecovered(t *testing.T, want, got string) {
	t.Helper()
	compared := 0
	err := filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(want, path)
		ext := filepath.Ext(path)
		if ext != ".log" && ext != ".snapshot" && ext != ".txnindex" && filepath.Base(path) != "leader-epoch-checkpoint" {
			return nil
		}
		wantData, gotData := mustRead(t, path), mustRead(t, got, rel)
		compared++
		if ext == snapshotSuffix {
			if strings.HasSuffix(path, "seg-kill-0/00000000000000000208.snapshot") {
				return nil // written anew by Kafka, for its expiry; ours is as it was
			}
			wantData = sortedSnapshot(wantData)
			if strings.Contains(want, "kafka-1.0.0") {
				zeroTimestamps(wantData)
				zeroTimestamps(gotData)
			}
		}
		if !bytes.Equal(wantData, gotData) {
			t.Errorf("%s: %d bytes, Kafka has %d\n%x\n%x", rel, len(gotData), len(wantData), gotData, wantData)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if compared < 8 {
		t.Fatalf("%d files compared", compared)
	}
}

// TestGoldenSnapshotsAreByteCompatible reads every snapshot that Kafka wrote and writes it
// again.
func TestGoldenSnapshotsAreByteCompatible(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(goldenDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != snapshotSuffix {
			return err
		}
		offset, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), snapshotSuffix), 10, 64)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var m producer.Manager
		if err := m.LoadSnapshot(data, offset); err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		if got, want := m.AppendSnapshot(nil), sortedSnapshot(data); !bytes.Equal(got, want) {
			t.Errorf("%s:\n got %x\nwant %x", path, got, want)
		}
		seen++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Fatalf("%d snapshots", seen)
	}
}

// sortedSnapshot brings the entries into the order of producer ids: Kafka's is that of its
// hash map. The CRC follows; that the file's own is right was found when it was loaded.
func sortedSnapshot(data []byte) []byte {
	out := bytes.Clone(data[:10])
	var entries [][]byte
	for e := range slices.Chunk(data[10:], 46) {
		entries = append(entries, e)
	}
	slices.SortFunc(entries, bytes.Compare)
	for _, e := range entries {
		out = append(out, e...)
	}
	binary.BigEndian.PutUint32(out[2:], crc32.Checksum(out[6:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

func zeroTimestamps(snapshot []byte) {
	for e := range slices.Chunk(snapshot[10:], 46) {
		clear(e[26:34])
	}
	clear(snapshot[2:6])
}

// TestGoldenRebuiltProducerState builds the state from the log alone and compares it with
// the snapshots that Kafka took on the way.
func TestGoldenRebuiltProducerState(t *testing.T) {
	for _, version := range []string{"kafka-1.0.0", "kafka-2.4.1"} {
		for _, partition := range []string{"idem-0", "txn-0", "txn-gzip-0"} {
			dir := filepath.Join(goldenDir, version, "04-idempotent-txn")
			e := newEnv(t)
			copyTree(t, dir, e.dir)
			names, err := filepath.Glob(filepath.Join(e.dir, partition, "*"+snapshotSuffix))
			if err != nil || len(names) == 0 {
				t.Fatal(names, err)
			}
			for _, name := range names {
				os.Remove(name)
			}
			os.Remove(filepath.Join(e.dir, ".kafka_cleanshutdown"))
			s := e.open(t)
			mustClose(t, s)
			last := filepath.Base(names[len(names)-1])
			got, want := mustRead(t, e.dir, partition, last), sortedSnapshot(mustRead(t, dir, partition, last))
			if version == "kafka-1.0.0" {
				// It did not count a marker's timestamp as its producer's last.
				zeroTimestamps(got)
				zeroTimestamps(want)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s %s %s:\n got %x\nwant %x", version, partition, last, got, want)
			}
		}
	}
}

func TestGoldenLogsAreAppendedTo(t *testing.T) {
	for _, dir := range goldenCases(t) {
		e, s := openGolden(t, dir)
		ends := make(map[TopicPartition]int64)
		for l := range s.Logs() {
			if l.Failure() != nil {
				continue
			}
			before := l.LogEndOffset()
			a := mustAppend(t, l, batch(t, testStart.UnixMilli(), "after Kafka", "and on"))
			if a.FirstOffset != before || a.NextOffset != before+2 {
				t.Fatalf("%s: appended at %d, the log ended at %d", l.TopicPartition(), a.FirstOffset, before)
			}
			ends[l.TopicPartition()] = a.NextOffset
		}
		mustClose(t, s)
		s = e.open(t)
		for tp, end := range ends {
			l, _ := s.Get(tp)
			offsets, vals := values(t, l)
			n := len(vals)
			if l.LogEndOffset() != end || n < 2 || offsets[n-1] != end-1 || vals[n-1] != "and on" || vals[n-2] != "after Kafka" {
				t.Errorf("%s %s: end %d, want %d", dir, tp, l.LogEndOffset(), end)
			}
		}
		mustClose(t, s)
	}
}

func TestGoldenLeaderEpochs(t *testing.T) {
	for version, want := range map[string]string{
		"kafka-1.0.0": "[{0 0} {1 30} {3 55} {7 80}]",
		"kafka-2.4.1": "[{0 0} {2 30} {4 55} {8 80}]",
	} {
		for _, damage := range []string{"", "0\n9\nrubbish"} {
			e := newEnv(t)
			copyTree(t, filepath.Join(goldenDir, version, "08-leader-epochs"), e.dir)
			if damage != "" {
				mustWrite(t, filepath.Join(e.dir, "epochs-0", "leader-epoch-checkpoint"), []byte(damage))
			}
			l := goldenLog(t, e.open(t), "epochs-0")
			if got := fmt.Sprint(l.EpochEntries()); got != want {
				t.Errorf("%s, damage %q: %s, want %s", version, damage, got, want)
			}
		}
	}
}
