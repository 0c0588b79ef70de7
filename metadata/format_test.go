package metadata

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

var update = flag.Bool("update", false, "write the golden files")

func encoded(t *tree) []byte { return encodeTree(nil, t, newDraft(t, t.zxid, 0)) }

func TestFormatGolden(t *testing.T) {
	tr := newTree()
	for _, ops := range [][]Op{
		{Create("/brokers", nil), Create("/brokers/ids", nil), Create("/controller_epoch", []byte("1"))},
		{CreateEphemeral("/brokers/ids/1", []byte(`{"version":5}`)), Set("/controller_epoch", []byte("2"), 0)},
	} {
		if _, _, err := run(tr, 258, ops...); err != nil {
			t.Fatal(err)
		}
	}
	got := []byte(strings.TrimRight(hex.Dump(encoded(tr)), "\n") + "\n")
	golden := filepath.Join("testdata", "metadata-file.hex")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the format changed:\n%s\nwant\n%s", got, want)
	}
}

func TestFormatRoundTrip(t *testing.T) {
	rng := testkit.Rand(t)
	tr := newTree()
	for range 300 {
		_, _, _ = run(tr, rng.Int64(), randomOp(rng)) // most are refused
	}
	file := encoded(tr)
	back, err := decodeTree(file)
	if err != nil {
		t.Fatal(err)
	}
	if again := encoded(back); !bytes.Equal(again, file) {
		t.Error("a tree that was read is not the one that was written")
	}
	// Every damaged byte and every cut is noticed.
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1 << rng.IntN(8)
		if _, err := decodeTree(bad); err == nil {
			t.Fatalf("byte %d of %d was changed and nobody noticed", i, len(file))
		}
		var f *FormatError
		if _, err := decodeTree(file[:i]); !errors.As(err, &f) {
			t.Fatalf("a file cut at %d: %v", i, err)
		}
	}
}

// FuzzDecodeTree damages a file and repairs its checksum, so that the decoder sees it: it
// must not panic, and what it accepts must be a tree.
func FuzzDecodeTree(f *testing.F) {
	tr := newTree()
	_, _, _ = run(tr, 3, Create("/a", []byte("x")), Create("/a/b", nil), CreateEphemeral("/c", nil))
	f.Add(encoded(tr))
	f.Add(encoded(newTree()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= fileHeaderBytes+fileCRCBytes {
			binary.BigEndian.PutUint64(b[len(fileMagic)+4:], uint64(len(b)))
			binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], castagnoli()))
		}
		tr, err := decodeTree(b)
		if err != nil {
			return
		}
		reached := 0
		var walk func(path string)
		walk = func(path string) {
			reached++
			for name := range tr.get(path).children {
				walk(join(path, name))
			}
		}
		walk("/")
		if reached != len(tr.nodes) {
			t.Errorf("%d nodes of %d can be reached", reached, len(tr.nodes))
		}
		if back, err := decodeTree(encoded(tr)); err != nil || len(back.nodes) != len(tr.nodes) {
			t.Errorf("written again: %v", err)
		}
	})
}
