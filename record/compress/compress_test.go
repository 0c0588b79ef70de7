package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = []Codec{Gzip, Snappy, LZ4, Zstd}

// newRand returns a source whose seed is printed when the test fails; SEED=n repeats a run.
func newRand(t testing.TB) *rand.Rand {
	seed := time.Now().UnixNano()
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatalf("SEED: %v", err)
		}
		seed = n
	}
	t.Logf("SEED=%d", seed)
	return rand.New(rand.NewSource(seed))
}

// inputs are of every kind that takes another way through a codec.
func inputs(r *rand.Rand) [][]byte {
	random := make([]byte, 100_000)
	r.Read(random)
	text := []byte(strings.Repeat(`{"name":"someone","at":1234567}`, 3000))
	out := [][]byte{{}, {7}, []byte("abc"), random, text, make([]byte, 300_000), text[:xerialBlockBytes], text[:xerialBlockBytes+1], random[:lz4BlockBytes], random[:lz4BlockBytes+1]}
	for range 30 {
		mixed := append(bytes.Clone(random[:r.Intn(5000)]), text[:r.Intn(len(text))]...)
		out = append(out, append(mixed, random[:r.Intn(60000)]...))
	}
	return out
}

// TestAgainstFranz: each side's output is the other side's input.
func TestAgainstFranz(t *testing.T) {
	r := newRand(t)
	theirs := kgo.DefaultDecompressor()
	prefix := []byte("prefix")
	for _, c := range codecs {
		option := map[Codec]kgo.CompressionCodec{Gzip: kgo.GzipCompression(), Snappy: kgo.SnappyCompression(), LZ4: kgo.Lz4Compression(), Zstd: kgo.ZstdCompression()}[c]
		compressor, err := kgo.DefaultCompressor(option)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range inputs(r) {
			packed, err := Compress(bytes.Clone(prefix), in, c, 0)
			if err != nil || !bytes.HasPrefix(packed, prefix) {
				t.Fatalf("%v: %v", c, err)
			}
			packed = packed[len(prefix):]
			if len(in) > 0 {
				got, err := theirs.Decompress(packed, kgo.CompressionCodecType(c))
				if err != nil || !bytes.Equal(got, in) {
					t.Fatalf("%v, %d bytes: franz-go reads %d bytes, %v", c, len(in), len(got), err)
				}
				foreign, _ := compressor.Compress(new(bytes.Buffer), in)
				checkDecompress(t, c, foreign, in)
			}
			checkDecompress(t, c, packed, in)
		}
	}
}

// checkDecompress reads packed into buffers of several capacities and against bounds.
func checkDecompress(t *testing.T, c Codec, packed, want []byte) {
	t.Helper()
	prefix := []byte("prefix")
	for _, capacity := range []int{0, 1, len(want), 2*len(want) + 100} {
		dst := append(make([]byte, 0, len(prefix)+capacity), prefix...)
		got, err := Decompress(dst, packed, c, len(want))
		if err != nil || !bytes.Equal(got, append(bytes.Clone(prefix), want...)) {
			t.Fatalf("%v, %d bytes into %d: %d bytes, %v", c, len(want), capacity, len(got), err)
		}
		var large *TooLargeError
		if len(want) == 0 {
			continue
		}
		if got, err := Decompress(dst, packed, c, len(want)-1); !errors.As(err, &large) || !bytes.Equal(got, prefix) {
			t.Fatalf("%v, %d bytes into %d, bound one less: %d bytes, %v", c, len(want), capacity, len(got), err)
		}
	}
}

func TestLevels(t *testing.T) {
	in := []byte(strings.Repeat("some text, again and again; ", 1000))
	for _, c := range codecs {
		lowest, highest, standard := Levels(c)
		for _, level := range []int{0, lowest, standard, (lowest + highest) / 2, highest, 1, 2, 5, 8, 9} {
			packed, err := Compress(nil, in, c, level)
			if err != nil {
				t.Fatalf("%v level %d: %v", c, level, err)
			}
			checkDecompress(t, c, packed, in)
			if len(packed) > len(in)/2 {
				t.Errorf("%v level %d: %d bytes from %d", c, level, len(packed), len(in))
			}
		}
	}
	for c, bad := range map[Codec][]int{Gzip: {-2, 10}, LZ4: {-1, 18}, Zstd: {-131073, 23}} {
		for _, level := range bad {
			var e *LevelError
			if _, err := Compress(nil, in, c, level); !errors.As(err, &e) {
				t.Errorf("%v level %d: %v", c, level, err)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for c := None; c <= Zstd; c++ {
		if got, err := Parse(c.String()); got != c || err != nil {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	if got, err := Parse("uncompressed"); got != None || err != nil {
		t.Errorf("uncompressed: %v, %v", got, err)
	}
	if _, err := Parse("GZIP"); err == nil {
		t.Error("GZIP: Kafka takes lower case only")
	}
	var unknown *UnknownCodecError
	if _, err := Decompress(nil, nil, 5, 10); !errors.As(err, &unknown) {
		t.Errorf("codec 5: %v", err)
	}
	if _, err := Compress(nil, nil, 5, 0); !errors.As(err, &unknown) {
		t.Errorf("codec 5: %v", err)
	}
}

func TestNone(t *testing.T) {
	checkDecompress(t, None, []byte("plain"), []byte("plain"))
}

// TestForms that other writers use and ours do not.
func TestForms(t *testing.T) {
	in := []byte(strings.Repeat("forms ", 30_000))
	one, err := Compress(nil, in, Snappy, 0)
	if err != nil {
		t.Fatal(err)
	}
	twice := append(bytes.Clone(in), in...)
	forms := []struct {
		name   string
		c      Codec
		packed []byte
		want   []byte
	}{
		{"raw snappy", Snappy, snappy.Encode(nil, in), in},
		{"joined xerial streams", Snappy, append(bytes.Clone(one), one...), twice},
		{"xerial without blocks", Snappy, []byte(xerialHeader), nil},
		{"two gzip members", Gzip, append(gzipOf(t, in), gzipOf(t, in)...), twice},
		{"zstd stream without size, with checksum", Zstd, zstdStream(t, in), in},
		{"two zstd frames", Zstd, append(zstdStream(t, in), zstdStream(t, in)...), twice},
		{"lz4 with checksums, 4 MiB blocks", LZ4, lz4Of(t, in, lz4.ChecksumOption(true), lz4.BlockChecksumOption(true), lz4.BlockSizeOption(lz4.Block4Mb)), in},
		{"lz4 with size", LZ4, lz4Of(t, in, lz4.SizeOption(uint64(len(in)))), in},
	}
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) { checkDecompress(t, f.c, f.packed, f.want) })
	}
}

func gzipOf(t testing.TB, in []byte) []byte {
	var b bytes.Buffer
	w := kgzip.NewWriter(&b)
	if _, err := w.Write(in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstdStream(t testing.TB, in []byte) []byte {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for part := in; len(part) > 0; { // in parts, flushed: so the frame cannot state its size
		n := min(len(part), 50_000)
		if _, err := w.Write(part[:n]); err != nil {
			t.Fatal(err)
		}
		part = part[n:]
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func lz4Of(t testing.TB, in []byte, options ...lz4.Option) []byte {
	var b bytes.Buffer
	w := lz4.NewWriter(&b)
	if err := w.Apply(options...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLZ4FrameForm: the header is one that Kafka's Java reader takes (independent blocks, reserved
// bits 0, a right header checksum, which the library's reader checks), and blocks stay
// within the size that it states.
func TestLZ4FrameForm(t *testing.T) {
	in := make([]byte, 3*lz4BlockBytes+5)
	newRand(t).Read(in[lz4BlockBytes : 2*lz4BlockBytes])
	packed, err := Compress(nil, in, LZ4, 0)
	if err != nil {
		t.Fatal(err)
	}
	flags, size := packed[4], packed[5]
	if binary.LittleEndian.Uint32(packed) != 0x184d2204 || flags>>6 != 1 || flags&0x20 == 0 || flags&3 != 0 || size != 4<<4 {
		t.Fatalf("frame header %x", packed[:7])
	}
	blocks, stored := 0, 0
	for at := 7; ; {
		n := binary.LittleEndian.Uint32(packed[at:])
		at += 4
		if n == 0 {
			if at != len(packed) {
				t.Fatalf("%d bytes behind the end mark", len(packed)-at)
			}
			break
		}
		if n&lz4StoredBit != 0 {
			stored++
		}
		blocks++
		if n &^= lz4StoredBit; n > lz4BlockBytes {
			t.Fatalf("block of %d bytes", n)
		}
		at += int(n)
	}
	if blocks != 4 || stored != 2 { // the random one, and the last with 5 bytes
		t.Errorf("%d blocks, %d stored, want 4 and 2", blocks, stored)
	}
}

// TestXerialForm: what snappy-java's reader wants.
func TestXerialForm(t *testing.T) {
	packed, err := Compress(nil, make([]byte, xerialBlockBytes+1), Snappy, 0)
	if err != nil {
		t.Fatal(err)
	}
	if string(packed[:16]) != "\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01" {
		t.Fatalf("header %x", packed[:16])
	}
	var sizes []int
	for at := 16; at < len(packed); {
		n := int(binary.BigEndian.Uint32(packed[at:]))
		plain, err := snappy.Decode(nil, packed[at+4:at+4+n])
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(plain))
		at += 4 + n
	}
	if len(sizes) != 2 || sizes[0] != xerialBlockBytes || sizes[1] != 1 {
		t.Errorf("blocks of %v bytes", sizes)
	}
}

// TestHostile: each is an error, and costs little memory.
func TestHostile(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<31)
	zstdClaim := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0x40, 0, 0, 0, 0, 1, 0, 0} // content size 1 GiB
	cases := []struct {
		name   string
		c      Codec
		packed []byte
	}{
		{"snappy: nothing", Snappy, nil},
		{"snappy: claimed length", Snappy, huge},
		{"xerial: claimed length", Snappy, append([]byte(xerialHeader+"\x00\x00\x00\x05"), huge...)},
		{"xerial: block length negative", Snappy, []byte(xerialHeader + "\xff\xff\xff\xff")},
		{"xerial: block length past the end", Snappy, []byte(xerialHeader + "\x00\x00\x00\x09ab")},
		{"xerial: cut block length", Snappy, []byte(xerialHeader + "\x00\x00")},
		{"zstd: nothing", Zstd, nil},
		{"zstd: claimed content size", Zstd, zstdClaim},
		{"zstd: noise", Zstd, []byte("not zstd at all")},
		{"lz4: nothing", LZ4, nil},
		{"lz4: noise", LZ4, []byte("not lz4 at all")},
		{"lz4: block length past the end", LZ4, []byte(lz4FrameHeader + "\xff\xff\x00\x00ab")},
		{"lz4: header only", LZ4, []byte(lz4FrameHeader)},
		{"gzip: nothing", Gzip, nil},
		{"gzip: noise", Gzip, []byte("not gzip at all")},
		{"gzip: cut", Gzip, gzipOf(t, make([]byte, 1000))[:12]},
	}
	for _, c := range cases {
		var got []byte
		var err error
		took := allocated(func() { got, err = Decompress(nil, c.packed, c.c, 1<<30) })
		if err == nil || got != nil {
			t.Errorf("%s: %d bytes, %v", c.name, len(got), err)
		}
		if took > 8<<20 {
			t.Errorf("%s: took %d bytes of memory", c.name, took)
		}
	}
}

// TestBombs: a stream of a few KiB that holds 64 MiB stops at the bound.
func TestBombs(t *testing.T) {
	const bound = 1 << 20
	zeros := make([]byte, 64<<20)
	for _, c := range codecs {
		bomb, err := Compress(nil, zeros, c, 0)
		if err != nil {
			t.Fatal(err)
		}
		bombs := [][]byte{bomb}
		switch c {
		case Zstd:
			bombs = append(bombs, zstdStream(t, zeros))
		case Snappy:
			bombs = append(bombs, snappy.Encode(nil, zeros))
		}
		for i, bomb := range bombs {
			_, _ = Decompress(nil, bomb, c, 1000) // the pools are filled now
			var large *TooLargeError
			took := allocated(func() { _, err = Decompress(nil, bomb, c, bound) })
			if !errors.As(err, &large) || large.MaxBytes != bound {
				t.Errorf("%v bomb %d: %v", c, i, err)
			}
			if took > 24*bound {
				t.Errorf("%v bomb %d of %d bytes: took %d bytes of memory", c, i, len(bomb), took)
			}
		}
	}
}

// allocated returns the bytes that f takes from the heap.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestConcurrent: pooled coders do not share anything, also after errors.
func TestConcurrent(t *testing.T) {
	r := newRand(t)
	all := inputs(r)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 60 {
				c, in := codecs[(g+i)%len(codecs)], all[(g*7+i)%len(all)]
				packed, err := Compress(nil, in, c, 0)
				if err != nil {
					t.Errorf("%v: %v", c, err)
					return
				}
				_, _ = Decompress(nil, packed[:len(packed)/2], c, 1<<20)
				if got, err := Decompress(nil, packed, c, len(in)); err != nil || !bytes.Equal(got, in) {
					t.Errorf("%v: %d bytes of %d, %v", c, len(got), len(in), err)
				}
			}
		})
	}
	wg.Wait()
}
