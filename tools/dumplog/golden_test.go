package dumplog

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/tools/cli/clitest"
)

// unpack lays out testdata/golden.tar.gz: log directories that Apache Kafka 1.0.0 and
// 2.4.1 wrote, and what their own DumpLogSegments printed of them (its README.md tells
// how they came to be). The tests run in that directory, since paths are printed.
func unpack(t *testing.T) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "golden.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for archive := tar.NewReader(plain); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			var data []byte
			if data, err = io.ReadAll(archive); err == nil {
				err = os.WriteFile(path, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// section is what Kafka's tool printed of one file.
type section struct {
	decoder string // the option that the run had besides --print-data-log
	path    string
	lines   []string
}

func parseDump(data []byte) []section {
	var out []section
	decoder := ""
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "Dumping "):
			out = append(out, section{decoder: decoder, path: strings.TrimPrefix(line, "Dumping ")})
			out[len(out)-1].lines = []string{line}
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "-decoder]"):
			decoder = strings.Trim(line, "[]")
		default:
			s := &out[len(out)-1]
			s.lines = append(s.lines, line)
		}
	}
	return out
}

// TestDumpsAsKafkaDid compares each line with that of the Kafka version that wrote the
// files; of what the tool complains about, the golden files hold the first line.
func TestDumpsAsKafkaDid(t *testing.T) {
	unpack(t)
	files, lines := 0, 0
	for _, version := range []struct {
		dir    string
		format Format
	}{{"kafka-1.0.0", Format10}, {"kafka-2.4.1", Format24}} {
		err := filepath.WalkDir(filepath.Join("dumps", version.dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, s := range parseDump(data) {
				files++
				lines += len(s.lines)
				compare(t, version.format, s)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files, %d lines", files, lines)
	if files < 400 || lines < 10_000 {
		t.Fatalf("only %d files and %d lines were compared", files, lines)
	}
}

func compare(t *testing.T, format Format, s section) {
	t.Helper()
	words := []string{"--print-format", string(format), "--files", s.path}
	if s.decoder == "" {
		words = append(words, "--deep-iteration", "--print-data-log")
	} else {
		words = append(words, "--"+s.decoder)
	}
	run := clitest.Run(t.Context(), Command("kafka-dump-log.sh"), "", words...)
	if run.Code != 0 {
		t.Errorf("%s: %+v", s.path, run)
		return
	}
	got := strings.Split(strings.TrimSuffix(run.Out, "\n"), "\n")
	if complaint, _, ok := strings.Cut(run.Err, "\n"); ok {
		got = append(got, "stderr: "+complaint)
	}
	for i := range max(len(got), len(s.lines)) {
		g, w := "(nothing)", "(nothing)"
		if i < len(got) {
			g = got[i]
		}
		if i < len(s.lines) {
			w = s.lines[i]
		}
		if g != w {
			t.Errorf("%s %s line %d:\n got %q\nwant %q", s.path, s.decoder, i+1, g, w)
			return
		}
	}
}

func TestTodaysLines(t *testing.T) {
	unpack(t)
	dump := func(words ...string) clitest.Result {
		t.Helper()
		return clitest.Run(t.Context(), Command("kafka-dump-log.sh"), "", words...)
	}
	log := "kafka-2.4.1/04-idempotent-txn/txn-0/00000000000000000043"
	got := dump("--files", log+".log,"+log+".snapshot", "--print-data-log")
	for _, want := range []string{
		"Dumping " + log + ".log\nLog starting offset: 43\nbaseOffset: 43 lastOffset: ",
		" isTransactional: true isControl: false deleteHorizonMs: OptionalLong.empty position: 0 CreateTime: ",
		" magic: 2 compresscodec: none crc: ", " isvalid: true\n| offset: 43 CreateTime: ", " keySize: ", " endTxnMarker: ABORT coordinatorEpoch: 0\n",
		" currentTxnFirstOffset: OptionalLong[", " lastTimestamp: ",
	} {
		if !strings.Contains(got.Out, want) {
			t.Errorf("%q is missing in %.1500s", want, got.Out)
		}
	}
	if shallow := dump("--files", log+".log"); strings.Contains(shallow.Out, "| offset") || !strings.Contains(shallow.Out, "baseOffset: 43 ") {
		t.Errorf("without --deep-iteration: %.500s", shallow.Out)
	}
	if only := dump("--files", log+".log", "--print-data-log", "--skip-record-metadata"); !strings.Contains(only.Out, "\n| key: ") {
		t.Errorf("without metadata: %.500s", only.Out)
	}
	if cut := dump("--files", log+".log", "--max-bytes", "250"); strings.Count(cut.Out, "baseOffset: ") != 2 || strings.Contains(cut.Out, "invalid bytes") {
		t.Errorf("--max-bytes 250: %.900s", cut.Out)
	}
	offsets := dump("--offsets-decoder", "--files", "kafka-2.4.1/06-internal/__consumer_offsets-32/00000000000000000000.log")
	for _, want := range []string{
		` key: {"type":"1","data":{"group":"group-live","topic":"in","partition":0}} payload: {"version":"`,
		`"data":{"offset":7,"leaderEpoch":`,
		` key: {"type":"2","data":{"group":"group-live"}} payload: {"version":"`,
		`{"protocolType":"consumer","generation":1,"protocol":"range","leader":"member-one-`,
		`"assignment":{"assignedPartitions":[{"topic":"in","partitions":[0,1,2]}],"userData":`,
	} {
		if !strings.Contains(offsets.Out, want) {
			t.Errorf("%q is missing in %s", want, offsets.Out)
		}
	}
	transactions := dump("--transaction-log-decoder", "--files", "kafka-2.4.1/06-internal/__transaction_state-12/00000000000000000000.log")
	if want := "transaction_metadata::transactionalId=tid-offsets payload: producerId:0,producerEpoch:0,state=Ongoing,partitions=[__consumer_offsets-30,out-0],"; !strings.Contains(transactions.Out, want) {
		t.Errorf("%q is missing in %s", want, transactions.Out)
	}
}

func TestIndexChecks(t *testing.T) {
	unpack(t)
	base := "kafka-2.4.1/02-segments/seg-small-1/00000000000000000000"
	dump := func(words ...string) clitest.Result {
		return clitest.Run(t.Context(), Command("kafka-dump-log.sh"), "", words...)
	}
	if got := dump("--verify-index-only", "--files", base+".index,"+base+".timeindex"); got.Code != 0 || strings.Contains(got.Out, "offset:") {
		t.Errorf("verify: %+v", got)
	}
	if got := dump("--index-sanity-check", "--files", base+".index"); got.Out != fmt.Sprintf("Dumping %[1]s.index\n%[1]s.index passed sanity check.\n", base) {
		t.Errorf("sanity: %+v", got)
	}
	entries, err := os.ReadFile(base + ".index")
	if err != nil {
		t.Fatal(err)
	}
	entries[3]++ // the offset of the first entry
	if err := os.WriteFile(base+".index", entries, 0o644); err != nil {
		t.Fatal(err)
	}
	got := dump("--verify-index-only", "--files", base+".index")
	if want := fmt.Sprintf("Mismatches in :%s.index\n  Index offset: 8, log offset: 7\n", base); got.Err != want {
		t.Errorf("stderr %q, want %q", got.Err, want)
	}
	if err := os.WriteFile(base+".index", entries[:9], 0o644); err != nil {
		t.Fatal(err)
	}
	if got := dump("--index-sanity-check", "--files", base+".index"); got.Code != 1 || !strings.Contains(got.Err, "corrupt") {
		t.Errorf("sanity of a torn index: %+v", got)
	}
}

// Damage costs lines, never the tool: each kind of file is cut and changed in many places.
func TestDamagedFiles(t *testing.T) {
	unpack(t)
	for _, name := range []string{
		"kafka-2.4.1/04-idempotent-txn/txn-gzip-0/00000000000000000000.log", "kafka-1.0.0/07-timestamps-formats/v1-gzip-0/00000000000000000000.log",
		"kafka-1.0.0/07-timestamps-formats/v0-snappy-0/00000000000000000000.log",
		"kafka-2.4.1/04-idempotent-txn/txn-0/00000000000000000043.snapshot", "kafka-2.4.1/04-idempotent-txn/txn-0/00000000000000000043.txnindex",
		"kafka-2.4.1/04-idempotent-txn/txn-0/00000000000000000043.index", "kafka-2.4.1/04-idempotent-txn/txn-0/00000000000000000043.timeindex",
	} {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < min(len(whole), 2000); i += 23 {
			for _, data := range [][]byte{whole[:i], append(append(bytes.Clone(whole[:i]), whole[i]^0xff), whole[i+1:]...)} {
				if err := os.WriteFile(name, data, 0o644); err != nil {
					t.Fatal(err)
				}
				clitest.Run(t.Context(), Command("kafka-dump-log.sh"), "", "--files", name, "--print-data-log")
			}
		}
	}
}

func TestJavasReplacementCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"abc": "abc", "\xe2\x82": "\ufffd", "\xe2\x82x": "\ufffdx", "\xff\xfe": "\ufffd\ufffd", "\xf0\x9f\x98": "\ufffd",
		"\xe0\x80\x80": "\ufffd\ufffd\ufffd", "\xed\xa0\x80": "\ufffd\ufffd\ufffd", "\xc3(": "\ufffd(",
	} {
		if got := text([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
