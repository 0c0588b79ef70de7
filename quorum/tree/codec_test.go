package tree

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/quorum/jute"
)

// everyKind is one transaction of each kind, with every field that counts.
func everyKind() []Txn {
	auth := []jute.ID{{Scheme: "ip", ID: "::1"}, {Scheme: "digest", ID: "a:b"}, {Scheme: "sasl", ID: "x"}}
	list := []jute.ACL{{Perms: 31, ID: jute.WorldAnyone}, {Perms: -1, ID: jute.ID{Scheme: "auth"}}}
	node := []Op{
		{Kind: Create, Path: "/a", Data: []byte("d"), ACL: list, Mode: 6, TTLMs: 1 << 39},
		{Kind: Create, Path: "/a", Data: []byte{}, ACL: list, Mode: -1},
		{Kind: Delete, Path: "/a", Version: -1},
		{Kind: SetData, Path: "/a", Data: nil, Version: 1<<31 - 1},
		{Kind: SetACL, Path: "/a", ACL: list, Version: -1 << 31},
		{Kind: Check, Path: "", Version: 3},
	}
	ops := append([]Op{
		{Kind: Noop}, {Kind: Multi, Ops: node}, {Kind: Multi, Ops: []Op{}}, {Kind: CreateSession, TimeoutMs: 6000, KeepResult: true}, {Kind: CloseSession},
		{Kind: DeleteContainer, Path: "/c", TTLMs: 5}, {Kind: InitCluster, Data: []byte("secret")}, {Kind: SetConfig, Data: []byte{}},
		{Kind: DigestCheck, Zxid: -5, Digest: 1<<64 - 1}, {Kind: SetFlags, Flags: 1<<32 - 1},
	}, node...)
	var txns []Txn
	for i, op := range ops {
		txns = append(txns, Txn{Origin: 1<<64 - 1, Req: uint64(i), Session: -1 - int64(i), ConnGen: 1<<32 - 1, Seq: uint32(i), Op: op})
		if i%3 > 0 {
			txns[i].Auth = auth
		}
	}
	return txns
}

func TestEntryRoundTrip(t *testing.T) {
	e := &Entry{TimeMs: -7, Txns: everyKind()}
	b := AppendEntry([]byte("before"), e)
	got, err := DecodeEntry(b[6:])
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, e) {
		t.Fatalf("\n%+v\n%+v", got, e)
	}
	packed := BeginEntry(nil, e.TimeMs)
	for i := range e.Txns {
		raw := AppendTxn(nil, &e.Txns[i])
		txn, err := DecodeTxn(raw)
		if err != nil || !reflect.DeepEqual(*txn, e.Txns[i]) || txn.Valid() != nil {
			t.Fatalf("%v %+v", err, txn)
		}
		packed = PackTxn(packed, raw)
	}
	SealEntry(packed)
	if !bytes.Equal(packed, b[6:]) {
		t.Fatal("packed from parts it is another entry")
	}
	if again, err := DecodeEntry(AppendEntry(nil, &Entry{TimeMs: 5})); err != nil || len(again.Txns) != 0 || again.TimeMs != 5 {
		t.Fatal(again, err)
	}
}

func TestEntryGolden(t *testing.T) {
	got := AppendEntry(nil, &Entry{TimeMs: 1000, Txns: []Txn{{
		Origin: 0x0102030405060708, Req: 9, Session: 0x10, ConnGen: 1, Seq: 2, Auth: []jute.ID{{Scheme: "ip", ID: "::1"}},
		Op: Op{Kind: SetData, Path: "/a", Data: []byte("xy"), Version: -1},
	}}})
	const want = "01" + "e2a325be" + "d00f" + "23" + "0102030405060708" + "09" + "0000000000000010" + "01" + "02" + "01" + "02" + "6970" + "03" + "3a3a31" +
		"03" + "02" + "2f61" + "03" + "7879" + "01"
	if fmt.Sprintf("%x", got) != want {
		t.Errorf("%x, want\n%s: servers of both versions could not share a log", got, want)
	}
}

func TestEntryRefused(t *testing.T) {
	good := AppendEntry(nil, &Entry{TimeMs: 1, Txns: everyKind()})
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		want := ErrCorrupt
		if i == 0 {
			want = ErrUnknown
		}
		if _, err := DecodeEntry(bad); !errors.Is(err, want) {
			t.Errorf("byte %d changed: %v", i, err)
		}
		if _, err := DecodeEntry(good[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	for _, op := range []Op{{Kind: SetFlags + 1}, {Kind: 255}, {Kind: Multi, Ops: []Op{{Kind: Multi}}}, {Kind: Multi, Ops: []Op{{Kind: CloseSession}}}} {
		txn := Txn{Op: op}
		if err := txn.Valid(); !errors.Is(err, ErrUnknown) {
			t.Errorf("%+v is valid: %v", op, err)
		}
		_, err := DecodeEntry(AppendEntry(nil, &Entry{Txns: []Txn{txn}}))
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("%+v: %v", op, err)
		}
	}
	for what, raw := range map[string][]byte{
		"a byte too many":        append(AppendTxn(nil, &Txn{}), 0),
		"a count without end":    append(make([]byte, 19), 0xff, 0xff, 0xff, 0xff, 0x7f),
		"a number of 11 bytes":   append(make([]byte, 8), bytes.Repeat([]byte{0xff}, 11)...),
		"a mode of 40 bits":      append(append(make([]byte, 20), byte(Create), 0, 0, 0), binary.AppendVarint(nil, 1<<40)...),
		"a boolean that is two":  append(make([]byte, 20), byte(CreateSession), 2, 2),
		"flags of 33 bits":       append(append(make([]byte, 20), byte(SetFlags)), binary.AppendUvarint(nil, 1<<32)...),
		"nothing":                nil,
		"a digest that is short": append(make([]byte, 20), byte(DigestCheck), 0, 1, 2, 3),
	} {
		if _, err := DecodeTxn(raw); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// world is a state with everything in it, after a random script.
func world(t testing.TB, seed uint64, steps int) *State {
	g := &script{r: testkit.NewRand(seed)}
	s := New()
	applyAll(t, s, 0, 0, Txn{Op: Op{Kind: InitCluster, Data: []byte("secret")}}, Txn{Op: Op{Kind: SetFlags, Flags: EnforceQuota}},
		Txn{Session: 9, Op: Op{Kind: CreateSession, TimeoutMs: 7, KeepResult: true}}, Txn{Session: 9, ConnGen: 1, Seq: 1, Op: mk("/kept", 0)})
	for i := range steps {
		applyAll(t, s, uint64(i/100), int64(i), g.txn())
	}
	return s
}

func TestSnapshotRefused(t *testing.T) {
	s := world(t, testkit.Seed(t), 60)
	good := encode(t, s)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x21
		want := ErrCorrupt
		if i == 7 {
			want = ErrUnknown
		}
		if _, err := Decode(bytes.NewReader(bad)); !errors.Is(err, want) {
			t.Fatalf("byte %d of %d changed: %v", i, len(good), err)
		}
		if _, err := Decode(bytes.NewReader(good[:i])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d of %d: %v", i, len(good), err)
		}
	}
	if _, err := Decode(bytes.NewReader(append(bytes.Clone(good), 0))); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte too many: %v", err)
	}
	broken := errors.New("disk")
	if _, err := Decode(io.MultiReader(bytes.NewReader(good[:20]), iotest.ErrReader(broken))); !errors.Is(err, broken) || errors.Is(err, ErrCorrupt) {
		t.Errorf("an error of the reader: %v", err)
	}
	if err := s.Encode(failingWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("an error of the writer: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestSnapshotOfBigThings: names, data and a count of nodes that the buffers do not hold.
func TestSnapshotOfBigThings(t *testing.T) {
	s := New()
	long := strings.Repeat("n", 100_000)
	txns := []Txn{{Op: mk("/"+long, 0)}, {Op: set("/"+long, strings.Repeat("d", 1<<20), -1)}, {Op: mk("/many", 0)}}
	for range 5000 {
		txns = append(txns, Txn{Op: mk("/many/n-", jute.PersistentSequential)})
	}
	deep := ""
	for range 3000 {
		deep += "/d"
		txns = append(txns, Txn{Op: mk(deep, 0)})
	}
	applyAll(t, s, 0, 0, txns...)
	again, err := Decode(iotest.OneByteReader(bytes.NewReader(encode(t, s))))
	if err != nil {
		t.Fatal(err)
	}
	if dump(again) != dump(s) {
		t.Fatal("another tree")
	}
	verify(t, again)
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(AppendEntry(nil, &Entry{TimeMs: 1, Txns: everyKind()})[entryHead:])
	g := &script{r: testkit.NewRand(1)}
	for range 20 {
		f.Add(AppendEntry(nil, &Entry{TimeMs: 1, Txns: []Txn{born(1), born(2), g.txn(), g.txn()}})[entryHead:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := append([]byte{entryVersion, 0, 0, 0, 0}, body...)
		SealEntry(b)
		e, err := DecodeEntry(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknown) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeEntry(AppendEntry(nil, e))
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%v\n%+v\n%+v", err, e, again)
		}
		s := fixture(t)
		s.Apply(1, e, nil)
		verify(t, s)
		reborn(t, s)
	})
}

// FuzzDecode gives damaged snapshots their CRC, so that what is behind it is reached.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(10) {
		b := encode(f, world(f, seed, 30))
		f.Add(b[:len(b)-4])
	}
	f.Add(encode(f, New()))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := binary.BigEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli()))
		s, err := Decode(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnknown) {
				t.Fatal(err)
			}
			return
		}
		dump(s)
		applyAll(t, s, 1, 1, Txn{Op: mk("/new", 0)}, born(1), Txn{Session: 1, Op: mk("/e", jute.Ephemeral)}, Txn{Session: 1, Op: Op{Kind: CloseSession}})
		if _, err := Decode(bytes.NewReader(encode(t, s))); err != nil {
			t.Fatal(err)
		}
	})
}
