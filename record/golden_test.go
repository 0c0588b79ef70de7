package record

import (
	"bufio"
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

	"github.com/millrace/millrace/record/compress"
)

const goldenDir = "testdata/golden"

// goldenRow is a line of expected.tsv: what Kafka's own consumer read from a partition.
type goldenRow struct {
	version, dir, partition                 string
	records, control, logStart, first, last int64
	nullKeys, nullValues, withHeaders       int64
	sha256Values, sha256Full                string
}

func (g goldenRow) name() string { return g.version + "/" + g.dir + "/" + g.partition }

func goldenRows(t *testing.T) []goldenRow {
	t.Helper()
	f, err := os.Open(filepath.Join(goldenDir, "expected.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []goldenRow
	s := bufio.NewScanner(f)
	s.Scan() // column names
	for s.Scan() {
		c := strings.Split(s.Text(), "\t")
		n := func(i int) int64 {
			v, err := strconv.ParseInt(c[i], 10, 64)
			if err != nil {
				t.Fatalf("expected.tsv: %v", err)
			}
			return v
		}
		rows = append(rows, goldenRow{version: c[0], dir: c[1], partition: c[2], records: n(4), control: n(5), logStart: n(6),
			first: n(7), last: n(8), nullKeys: n(11), nullValues: n(12), withHeaders: n(13), sha256Values: c[14], sha256Full: c[15]})
	}
	if len(rows) == 0 {
		t.Fatal("no rows")
	}
	return rows
}

// goldenLog returns the partition's segments joined together.
func goldenLog(t *testing.T, g goldenRow) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(goldenDir, "kafka-"+g.version, g.dir, g.partition, "*.log"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no log files (%v)", g.name(), err)
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// goldenSums gathers what goldenRow has, from our own reading.
type goldenSums struct {
	got          goldenRow
	values, full hash.Hash
}

func (g *goldenSums) add(r *Record) {
	if g.got.records == 0 {
		g.got.first = r.Offset
	}
	g.got.records++
	g.got.last = r.Offset
	if r.Key == nil {
		g.got.nullKeys++
	}
	if r.Value == nil {
		g.got.nullValues++
	}
	if r.HeaderCount > 0 {
		g.got.withHeaders++
	}
	fmt.Fprintf(g.values, "%s\n", r.Value)
	var headers []string
	_ = r.Headers(func(k, v []byte) bool {
		headers = append(headers, string(k)+"="+hexOrNull(v))
		return true
	})
	fmt.Fprintf(g.full, "%d\t%d\t%s\t%s\t%s\n", r.Offset, r.Timestamp, hexOrNull(r.Key), hexOrNull(r.Value), strings.Join(headers, ","))
}

func hexOrNull(b []byte) string {
	if b == nil {
		return "null"
	}
	return hex.EncodeToString(b)
}

// TestGolden reads log files that Apache Kafka wrote, to its consumer's counts and checksums,
// as they are and again after recompression with each codec.
func TestGolden(t *testing.T) {
	for _, g := range goldenRows(t) {
		if g.dir == "07-timestamps-formats" && strings.HasPrefix(g.partition, "v") {
			continue
		}
		t.Run(g.name(), func(t *testing.T) {
			log := goldenLog(t, g)
			checkGolden(t, g, log)
			for _, codec := range codecs {
				var again []byte
				for rest := log; len(rest) > 0; {
					b, tail, err := Next(rest)
					if err != nil {
						t.Fatal(err)
					}
					rest = tail
					if again, err = b.Recompress(again, codec, 0); err != nil {
						t.Fatal(err)
					}
				}
				checkGolden(t, g, again)
			}
		})
	}
}

func checkGolden(t *testing.T, g goldenRow, log []byte) {
	t.Helper()
	sums := goldenSums{got: g, values: sha256.New(), full: sha256.New()}
	sums.got.records, sums.got.control, sums.got.nullKeys, sums.got.nullValues, sums.got.withHeaders = 0, 0, 0, 0, 0
	for len(log) > 0 {
		b, rest, err := Next(log)
		if err != nil {
			t.Fatal(err)
		}
		log = rest
		info, err := Validate(b, ValidateOptions{Inner: true, ValidateCompressed: true})
		if err != nil {
			t.Fatalf("batch at %d: %v", b.BaseOffset(), err)
		}
		if info.Count > 0 && !b.IsControl() && info.MaxTimestamp != b.MaxTimestamp() && g.dir != "05-compacted" {
			t.Errorf("batch at %d: max timestamp %d, Kafka wrote %d", b.BaseOffset(), info.MaxTimestamp, b.MaxTimestamp())
		}
		err = b.Iterate(nil, func(r *Record) error {
			switch {
			case r.Offset < g.logStart:
			case b.IsControl():
				sums.got.control++
				if c, err := ParseControl(r); err != nil || c.CoordinatorEpoch != 0 {
					t.Errorf("control record at %d: %+v, %v", r.Offset, c, err)
				}
			default:
				sums.add(r)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	sums.got.sha256Values = hex.EncodeToString(sums.values.Sum(nil))
	sums.got.sha256Full = hex.EncodeToString(sums.full.Sum(nil))
	if sums.got != g {
		t.Errorf("got  %+v\nwant %+v", sums.got, g)
	}
}

// TestGoldenCodecs makes sure that the codec files hold what their names say.
func TestGoldenCodecs(t *testing.T) {
	for _, g := range goldenRows(t) {
		if g.dir != "01-codecs" {
			continue
		}
		want, err := compress.Parse(strings.Split(g.partition, "-")[1])
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := Next(goldenLog(t, g))
		if err != nil || b.Codec() != want {
			t.Errorf("%s: codec %v, %v", g.name(), b.Codec(), err)
		}
	}
}

// TestGoldenMarkers checks the end markers against what Kafka's dump tool printed for this file.
func TestGoldenMarkers(t *testing.T) {
	want := map[int64]ControlType{17: ControlAbort, 18: ControlCommit, 42: ControlCommit, 47: ControlAbort, 49: ControlAbort}
	log := goldenLog(t, goldenRow{version: "2.4.1", dir: "04-idempotent-txn", partition: "txn-0"})
	for len(log) > 0 {
		b, rest, err := Next(log)
		if err != nil {
			t.Fatal(err)
		}
		log = rest
		typ, listed := want[b.BaseOffset()]
		if !listed {
			continue
		}
		delete(want, b.BaseOffset())
		err = b.Iterate(nil, func(r *Record) error {
			c, err := ParseControl(r)
			if err != nil || c.Type != typ || !b.IsTransactional() {
				t.Errorf("offset %d: %v %v, want %v", r.Offset, c, err, typ)
			}
			made, err := EndTxnMarker(c.Type, Producer{ID: b.ProducerID(), Epoch: b.ProducerEpoch()}, c.CoordinatorEpoch, r.Timestamp)
			if err != nil {
				return err
			}
			made.Stamp(b.BaseOffset(), b.LeaderEpoch())
			if string(made) != string(b) {
				t.Errorf("offset %d: our marker is %x, Kafka's %x", r.Offset, []byte(made), []byte(b))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(want) != 0 {
		t.Errorf("not found: %v", want)
	}
}

// TestGoldenOldFormats: magic 0 and 1 are refused, with a size that leads to the next batch.
func TestGoldenOldFormats(t *testing.T) {
	seen := 0
	for _, g := range goldenRows(t) {
		if g.dir != "07-timestamps-formats" || !strings.HasPrefix(g.partition, "v") {
			continue
		}
		seen++
		var newer int64
		for log := goldenLog(t, g); len(log) > 0; {
			size, err := Peek(log)
			var magic *UnsupportedMagicError
			switch {
			case errors.As(err, &magic):
				if int(magic.Magic) != int(g.partition[1]-'0') || !strings.Contains(err.Error(), "not supported") {
					t.Fatalf("%s: %v", g.name(), err)
				}
				if _, err := Validate(Batch(log), ValidateOptions{}); !errors.Is(err, ErrUnsupportedMagic) {
					t.Fatalf("%s: Validate: %v", g.name(), err)
				}
			case err != nil:
				t.Fatalf("%s: %v", g.name(), err)
			default:
				newer += int64(Batch(log).Count())
			}
			log = log[size:]
		}
		if want := map[bool]int64{true: 30, false: 0}[g.partition == "v1-then-v2-0"]; newer != want {
			t.Errorf("%s: %d records of format v2, want %d", g.name(), newer, want)
		}
	}
	if seen == 0 {
		t.Error("no file of the old formats")
	}
}
