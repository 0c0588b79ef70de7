package metadata

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
)

// encodeFile writes a file as brokers did before they had a quorum inside.
func encodeFile(nodes []fileNode) []byte {
	dst := append([]byte(fileMagic), 0, 0, 0, fileVersion)
	dst = binary.BigEndian.AppendUint64(dst, 0)
	dst = binary.BigEndian.AppendUint64(dst, 7) // zxid
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(nodes)))
	for _, n := range nodes {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(n.path)))
		dst = append(dst, n.path...)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(n.data)))
		dst = append(dst, n.data...)
		for _, v := range [...]int64{1, 1, 1, 1000, 1000, n.owner} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(v))
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(n.version))
		dst = binary.BigEndian.AppendUint32(dst, 0)
	}
	return seal(append(dst, 0, 0, 0, 0))
}

// seal sets a file's length and checksum.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint64(b[len(fileMagic)+4:], uint64(len(b)))
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], castagnoli()))
	return b
}

// goldenFile is a file that such a broker wrote.
func goldenFile(t testing.TB) []byte {
	t.Helper()
	dump, err := os.ReadFile(filepath.Join("testdata", "metadata-file.hex"))
	if err != nil {
		t.Fatal(err)
	}
	digits := regexp.MustCompile(`(?m)^[0-9a-f]{8} |\|.*\|$|\s`).ReplaceAllString(string(dump), "")
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFormatGolden(t *testing.T) {
	nodes, err := decodeFile(goldenFile(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range nodes {
		got = append(got, n.path+"="+string(n.data))
	}
	if want := `/= /brokers= /brokers/ids= /brokers/ids/1={"version":5} /controller_epoch=2`; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if n := nodes[3]; n.owner != 258 || nodes[4].version != 1 {
		t.Errorf("%+v", nodes)
	}
}

// Every damaged byte and every cut is noticed.
func TestFormatDamage(t *testing.T) {
	rng := testkit.Rand(t)
	file := goldenFile(t)
	for i := range file {
		bad := bytes.Clone(file)
		bad[i] ^= 1 << rng.IntN(8)
		if _, err := decodeFile(bad); err == nil {
			t.Fatalf("byte %d of %d was changed and nobody noticed", i, len(file))
		}
		var f *FormatError
		if _, err := decodeFile(file[:i]); !errors.As(err, &f) {
			t.Fatalf("a file cut at %d: %v", i, err)
		}
	}
}

// FuzzDecodeFile damages a file and repairs its checksum, so that the decoder sees it: it
// must not panic, and what it accepts must be a tree.
func FuzzDecodeFile(f *testing.F) {
	f.Add(goldenFile(f))
	f.Add(encodeFile([]fileNode{{path: "/"}, {path: "/a", data: []byte("x")}, {path: "/a/b"}, {path: "/c", owner: 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= fileHeaderBytes+fileCRCBytes {
			seal(b)
		}
		nodes, err := decodeFile(b)
		if err != nil {
			return
		}
		seen := map[string]bool{"/": true}
		for _, n := range nodes[1:] {
			if parent, _ := split(n.path); !seen[parent] || seen[n.path] {
				t.Errorf("%q has no place", n.path)
			}
			seen[n.path] = true
		}
	})
}
