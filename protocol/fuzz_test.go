package protocol_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/millrace/millrace/protocol"
)

// seedMessages calls add with one random message of each type and version.
func seedMessages(add func(p pair, response bool, version int16, body []byte)) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i, p := range pairs() {
		for v := p.api.Min; v <= p.api.Max; v++ {
			m := p.ours()
			fill(rng, reflect.ValueOf(m).Elem())
			add(p, i%2 == 1, v, m.Append(nil, v))
		}
	}
}

// checkDecode: what decodes can be written, and what was written decodes to the same.
func checkDecode(t *testing.T, fresh func() protocol.Message, version int16, body []byte) {
	m := fresh()
	if err := m.Decode(body, version); err != nil {
		return
	}
	wire := m.Append(nil, version)
	again := fresh()
	if err := again.Decode(wire, version); err != nil {
		t.Fatalf("version %d, %x was read as %+v and written as %x: %v", version, body, m, wire, err)
	}
	if !reflect.DeepEqual(m, again) {
		t.Fatalf("version %d, %x:\nfirst  %+v\nsecond %+v", version, body, m, again)
	}
	if !bytes.Equal(again.Append(nil, version), wire) {
		t.Fatalf("version %d, %x is not written the same twice", version, wire)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	seedMessages(func(p pair, response bool, version int16, body []byte) {
		if !response {
			f.Add(p.api.Key, version, body)
		}
	})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if protocol.NewRequest(key) != nil {
			checkDecode(t, func() protocol.Message { return protocol.NewRequest(key) }, version, body)
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	seedMessages(func(p pair, response bool, version int16, body []byte) {
		if response {
			f.Add(p.api.Key, version, body)
		}
	})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if protocol.NewResponse(key) != nil {
			checkDecode(t, func() protocol.Message { return protocol.NewResponse(key) }, version, body)
		}
	})
}

func FuzzHeader(f *testing.F) {
	seedMessages(func(p pair, response bool, version int16, body []byte) {
		h := protocol.RequestHeader{Key: p.api.Key, Version: version, CorrelationID: 3, ClientID: "client"}
		f.Add(append(protocol.AppendRequestHeader(nil, h), 1, 2, 3))
	})
	f.Add([]byte{0, 18, 0, 5, 0, 0, 0, 1, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= protocol.FrameHeadBytes {
			_, _, _ = protocol.CheckFrame(b, 1<<20)
		}
		h, body, err := protocol.ParseRequestHeader(b)
		if err != nil {
			return
		}
		again, rest, err := protocol.ParseRequestHeader(append(protocol.AppendRequestHeader(nil, h), body...))
		if err != nil || again != h || !bytes.Equal(rest, body) {
			t.Fatalf("%x: %+v became %+v, %v", b, h, again, err)
		}
	})
}

func FuzzProduceHot(f *testing.F) {
	seedMessages(func(p pair, response bool, version int16, body []byte) {
		if p.api.Key == protocol.KeyProduce && !response {
			f.Add(version, body)
		}
	})
	var hot protocol.ProduceInput
	var names protocol.Names
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		checkProduceHot(t, &hot, &names, body, version)
	})
}
