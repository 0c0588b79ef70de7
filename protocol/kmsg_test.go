package protocol_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/millrace/millrace/protocol"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// seeded returns a source of randomness whose seed is printed when the test fails; SEED
// repeats a run.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// fill sets v, a message of ours or of kmsg, to random contents.
func fill(rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		// -1 is every struct's default: a tagged struct that equals its default need not travel.
		n := [...]int64{0, 1, 1<<63 - 1, -1 << 63, rng.Int64() - 1<<62}[rng.IntN(5)]
		if v.SetInt(n); v.Int() == -1 {
			v.SetInt(7)
		}
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(uint64(rng.Uint32()) & (1<<v.Type().Bits() - 1))
	case reflect.Float64:
		v.SetFloat(rng.NormFloat64())
	case reflect.String:
		v.SetString(randomString(rng))
	case reflect.Pointer:
		if rng.IntN(3) == 0 {
			v.SetZero()
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		fill(rng, v.Elem())
	case reflect.Slice:
		fillSlice(rng, v)
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(rng.Uint32() & 0xff))
		}
	case reflect.Struct:
		fillStruct(rng, v)
	default:
		panic("no random contents for " + v.Type().String())
	}
}

func fillStruct(rng *rand.Rand, v reflect.Value) {
	if v.Type() == reflect.TypeFor[protocol.NullString]() {
		if rng.IntN(3) > 0 {
			v.Set(reflect.ValueOf(protocol.Str(randomString(rng))))
		}
		return
	}
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Version" && name != "UnknownTags" {
			fill(rng, v.Field(i))
		}
	}
}

func fillSlice(rng *rand.Rand, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if rng.IntN(4) > 0 {
			v.SetBytes([]byte(randomString(rng)))
		}
		return
	}
	if n := rng.IntN(5) - 1; n >= 0 {
		v.Set(reflect.MakeSlice(v.Type(), n, n))
	}
	for i := range v.Len() {
		fill(rng, v.Index(i))
	}
}

func randomString(rng *rand.Rand) string {
	b := make([]byte, [...]int{0, 1, 7, 200}[rng.IntN(4)])
	for i := range b {
		b[i] = byte('a' + rng.IntN(26))
	}
	return string(b)
}

// kmessage is what kmsg's requests and responses have in common.
type kmessage interface {
	SetVersion(int16)
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
}

// pair is one message type, ours and kmsg's.
type pair struct {
	name string
	api  protocol.API
	ours func() protocol.Message
	km   func(version int16) kmessage
}

func pairs() []pair {
	var all []pair
	for a := range protocol.APIs() {
		all = append(all,
			pair{a.Name + "Request", a,
				func() protocol.Message { return protocol.NewRequest(a.Key) },
				func(v int16) kmessage { m := kmsg.RequestForKey(a.Key); m.SetVersion(v); return m }},
			pair{a.Name + "Response", a,
				func() protocol.Message { return protocol.NewResponse(a.Key) },
				func(v int16) kmessage { m := kmsg.ResponseForKey(a.Key); m.SetVersion(v); return m }})
	}
	return all
}

// eachVersion runs f for each message and version as a subtest.
func eachVersion(t *testing.T, f func(t *testing.T, p pair, version int16)) {
	for _, p := range pairs() {
		for v := p.api.Min; v <= p.api.Max; v++ {
			t.Run(fmt.Sprintf("%s/%d", p.name, v), func(t *testing.T) { f(t, p, v) })
		}
	}
}

const rounds = 30

// TestWhatWeWriteKmsgReads: our encoding, read and written again by kmsg, is the same.
func TestWhatWeWriteKmsgReads(t *testing.T) {
	rng := seeded(t)
	eachVersion(t, func(t *testing.T, p pair, version int16) {
		for range rounds {
			m := p.ours()
			fill(rng, reflect.ValueOf(m).Elem())
			wire := m.Append(nil, version)
			k := p.km(version)
			if err := k.ReadFrom(wire); err != nil {
				t.Fatalf("kmsg cannot read %x: %v\n%+v", wire, err, m)
			}
			if again := k.AppendTo(nil); !bytes.Equal(again, wire) {
				t.Fatalf("kmsg writes\n%x, we\n%x\n%+v", again, wire, m)
			}
		}
	})
}

// TestWhatKmsgWritesWeRead: kmsg's encoding, read and written again by us, is the same.
func TestWhatKmsgWritesWeRead(t *testing.T) {
	rng := seeded(t)
	eachVersion(t, func(t *testing.T, p pair, version int16) {
		for range rounds {
			k := p.km(version)
			fill(rng, reflect.ValueOf(k).Elem())
			zeroLateTags(k, version)
			wire := k.AppendTo(nil)
			m := p.ours()
			if err := m.Decode(wire, version); err != nil {
				t.Fatalf("cannot read %x: %v\n%+v", wire, err, k)
			}
			if again := m.Append(nil, version); !bytes.Equal(again, wire) {
				t.Fatalf("we write\n%x, kmsg\n%x\n%+v", again, wire, k)
			}
		}
	})
}

// TestDirtyStruct: what an earlier message left in a struct does not show in the next.
func TestDirtyStruct(t *testing.T) {
	rng := seeded(t)
	eachVersion(t, func(t *testing.T, p pair, version int16) {
		dirty := p.ours()
		for range rounds {
			m := p.ours()
			fill(rng, reflect.ValueOf(m).Elem())
			wire := m.Append(nil, version)
			fresh := p.ours()
			if err := fresh.Decode(wire, version); err != nil {
				t.Fatalf("%x: %v", wire, err)
			}
			if err := dirty.Decode(wire, version); err != nil {
				t.Fatalf("%x: %v", wire, err)
			}
			if !reflect.DeepEqual(fresh, dirty) {
				t.Fatalf("fresh %+v\ndirty %+v", fresh, dirty)
			}
			fill(rng, reflect.ValueOf(dirty).Elem())
		}
	})
}

// zeroLateTags clears the tagged fields that kmsg writes in flexible versions older than
// the one that brought them; Apache Kafka refuses these there, we skip them.
func zeroLateTags(k kmessage, version int16) {
	switch k := k.(type) {
	case *kmsg.ProduceResponse:
		if version >= 10 {
			return
		}
		k.Brokers = nil
		for i := range k.Topics {
			for j := range k.Topics[i].Partitions {
				k.Topics[i].Partitions[j].CurrentLeader.Default()
			}
		}
	case *kmsg.FetchResponse:
		if version < 16 {
			k.Brokers = nil
		}
	case *kmsg.FetchRequest:
		if version < 15 {
			k.ReplicaState.Default()
		}
		for i := range k.Topics {
			for j := range k.Topics[i].Partitions {
				part := &k.Topics[i].Partitions[j]
				if version < 17 {
					part.ReplicaDirectoryID = [16]byte{}
				}
				if version < 18 {
					part.HighWatermark = math.MaxInt64
				}
			}
		}
	}
}
