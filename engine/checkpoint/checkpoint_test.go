package checkpoint

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/internal/vfs/errorfs"
	"github.com/millrace/millrace/internal/vfs/memfs"
)

// Files as Kafka's tools and sources show them.
const (
	offsetsFile   = "0\n2\nseg-small 1 100\n__consumer_offsets 49 9223372036854775807\n"
	epochsFile    = "0\n3\n0 0\n2 30\n8 80\n"
	partitionFile = "version: 0\ntopic_id: PR3uxDM7TIGsJWPJAzUYyw"
	meta10        = "#\n#Sun Nov 22 12:39:20 UTC 2026\nbroker.id=0\nversion=0\n"
	meta24        = "#\n#Sun Nov 22 12:39:20 UTC 2026\nbroker.id=0\nversion=0\ncluster.id=QU9JaVvZRsCbBxiSxPGO1g\n"
	meta39        = "#\n#Sun Nov 22 12:39:20 UTC 2026\nnode.id=3\ndirectory.id=gCpDJgRlS2CBCpxoP2VMsQ\nversion=1\ncluster.id=5L6g3nShT-eMCtK--X86sw\n"
)

func TestOffsetsRoundTrip(t *testing.T) {
	entries, err := ParseOffsets([]byte(offsetsFile))
	want := []Offset{{"seg-small", 1, 100}, {"__consumer_offsets", 49, 1<<63 - 1}}
	if err != nil || !reflect.DeepEqual(entries, want) {
		t.Fatal(entries, err)
	}
	if got := string(AppendOffsets(nil, entries)); got != offsetsFile {
		t.Errorf("%q", got)
	}
	if got := string(AppendOffsets(nil, nil)); got != "0\n0\n" {
		t.Errorf("%q", got)
	}
}

func TestEpochsRoundTrip(t *testing.T) {
	entries, err := ParseEpochs([]byte(epochsFile))
	if err != nil || !reflect.DeepEqual(entries, []Epoch{{0, 0}, {2, 30}, {8, 80}}) {
		t.Fatal(entries, err)
	}
	if got := string(AppendEpochs(nil, entries)); got != epochsFile {
		t.Errorf("%q", got)
	}
}

func TestDamagedCheckpointsAreRefused(t *testing.T) {
	for _, data := range []string{
		"1\n0\n", "x", "0\nx\n", "0\n-1\n", "0\n1\n", "0\n1\nt 0 1\nt 1 1\n", "0\n2\nt 0 1\n", "0\n1\nt 0\n", "0\n1\nt 0 1 2\n",
		"0\n1\nt x 1\n", "0\n1\nt -1 1\n", "0\n1\nt 0 -1\n", "0\n1\nt 0 99999999999999999999\n", "0\n1\nt 4294967296 1\n",
		"0\n1\n\x00\x00\x00\x00\x00", "0\n99999999999\n", strings.Repeat("\x00", 40),
	} {
		var bad *FormatError
		if entries, err := ParseOffsets([]byte(data)); !errors.As(err, &bad) || len(entries) > 0 {
			t.Errorf("%q: %v %v", data, entries, err)
		}
	}
	for _, empty := range []string{"", "0\n", "0\n0\n"} {
		if entries, err := ParseOffsets([]byte(empty)); err != nil || len(entries) > 0 {
			t.Errorf("%q: %v %v", empty, entries, err)
		}
	}
}

func TestMeta(t *testing.T) {
	dirID, err := ParseID("gCpDJgRlS2CBCpxoP2VMsQ")
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]Meta{
		meta10: {Version: 0, NodeID: 0},
		meta24: {Version: 0, NodeID: 0, ClusterID: "QU9JaVvZRsCbBxiSxPGO1g"},
		meta39: {Version: 1, NodeID: 3, ClusterID: "5L6g3nShT-eMCtK--X86sw", DirectoryID: dirID},
		"broker.id = 7\r\ncluster.id: a\\=b\\:c\n! comment\n": {NodeID: 7, ClusterID: "a=b:c"},
	} {
		m, err := ParseMeta([]byte(data))
		if err != nil || m != want {
			t.Errorf("%q: %+v %v, want %+v", data, m, err, want)
		}
		if again, err := ParseMeta(m.Append(nil)); err != nil || again != m {
			t.Errorf("%q is read as %+v %v", m.Append(nil), again, err)
		}
	}
	for _, data := range []string{"version=2\n", "broker.id=x\n", "broker.id=-2\n", "broker.id=1\nnode.id=2\n", "directory.id=short\n", "nonsense\n", "broker.id=\x00\n"} {
		var bad *FormatError
		if m, err := ParseMeta([]byte(data)); !errors.As(err, &bad) {
			t.Errorf("%q: %+v %v", data, m, err)
		}
	}
}

func TestPartitionMetadata(t *testing.T) {
	id, err := ParsePartitionMetadata([]byte(partitionFile))
	if err != nil || FormatID(id) != "PR3uxDM7TIGsJWPJAzUYyw" {
		t.Fatal(id, err)
	}
	if got := string(AppendPartitionMetadata(nil, id)); got != partitionFile {
		t.Errorf("%q", got)
	}
	for _, data := range []string{"", "version: 1\ntopic_id: PR3uxDM7TIGsJWPJAzUYyw", "version: 0\n", "version: 0\ntopic_id: ", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", partitionFile + "x", partitionFile + "\nmore"} {
		if id, err := ParsePartitionMetadata([]byte(data)); err == nil {
			t.Errorf("%q: %v", data, id)
		}
	}
}

// TestReplaceIsAtomic fails each call of a replacement in turn and cuts the power: the old
// contents are there, or the new ones, never a mixture.
func TestReplaceIsAtomic(t *testing.T) {
	oldData, newData := []byte(strings.Repeat("old\n", 400)), []byte(strings.Repeat("newer\n", 300))
	runs := errorfs.EachCall(errorfs.Once, errorfs.Fault{Err: syscall.EIO}, errorfs.All(), func(n int64, rule errorfs.Rule) bool {
		disk := memfs.New()
		if err := disk.MkdirAll("/d", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(disk.SyncDir("/"), Replace(disk, "/d/file", oldData)); err != nil {
			t.Fatal(err)
		}
		replaceErr := Replace(errorfs.Wrap(disk, rule), "/d/file", newData)
		for _, percent := range []int{0, 50, 100} {
			got, err := Load(disk.CrashClone(newRand(uint64(n)), percent), "/d/file")
			if err != nil {
				t.Fatalf("call %d: %v", n, err)
			}
			if isNew := string(got) == string(newData); !isNew && (replaceErr == nil || string(got) != string(oldData)) {
				t.Errorf("call %d, error %v: %d bytes are neither", n, replaceErr, len(got))
			}
		}
		return true
	})
	if runs < 6 {
		t.Errorf("%d calls", runs)
	}
}

func TestLoadOfAnAbsentFile(t *testing.T) {
	if _, err := Load(memfs.New(), "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte(offsetsFile))
	f.Add([]byte(epochsFile))
	f.Fuzz(func(t *testing.T, data []byte) {
		if entries, err := ParseOffsets(data); err == nil {
			if again, err := ParseOffsets(AppendOffsets(nil, entries)); err != nil || len(again) != len(entries) {
				t.Fatalf("%v is read again as %v, %v", entries, again, err)
			}
		}
		if entries, err := ParseEpochs(data); err == nil {
			if again, err := ParseEpochs(AppendEpochs(nil, entries)); err != nil || !reflect.DeepEqual(again, entries) && len(entries) > 0 {
				t.Fatalf("%v is read again as %v, %v", entries, again, err)
			}
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte(meta10))
	f.Add([]byte(meta39))
	f.Add([]byte(partitionFile))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := ParseMeta(data); err == nil && !strings.ContainsAny(m.ClusterID, "\r\n\t\f ") {
			if again, err := ParseMeta(m.Append(nil)); err != nil || again != m {
				t.Fatalf("%+v is read again as %+v, %v", m, again, err)
			}
		}
		if id, err := ParsePartitionMetadata(data); err == nil && string(AppendPartitionMetadata(nil, id)) != string(data) {
			if !strings.Contains(string(data), "\r") && !strings.HasSuffix(string(data), "\n") {
				t.Fatalf("%q", data)
			}
		}
	})
}

func newRand(seed uint64) *rand.Rand { return testkit.NewRand(seed) }
