package apis

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/conformance/harness"
	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// patience bounds everything that is waited for; nothing should come near it.
const patience = testkit.Patience

// client is one connection. Its TB is that of the test that uses it at the moment.
type client struct {
	testing.TB
	*link
}

type link struct {
	addr        string
	nc          net.Conn
	format      *kmsg.RequestFormatter
	correlation int32
	expected    []int32 // correlation ids of requests that are to be answered, in order
}

// dial opens a connection that is closed with the test.
func dial(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t, &link{addr: addr, nc: nc, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("apis"))}}
}

// target is a connection to the broker that BOOTSTRAP names, or to a fresh one with its
// default configuration.
func target(t testing.TB) *client {
	t.Helper()
	return dial(t, harness.Target(t, harness.Options{}))
}

// launch starts a broker with a configuration of its own.
func launch(t testing.TB, config map[string]string) (*harness.Broker, *client) {
	t.Helper()
	if os.Getenv("BOOTSTRAP") != "" {
		t.Skip("BOOTSTRAP names a broker whose configuration is not ours")
	}
	b := harness.LaunchFor(t, harness.Options{Config: config})
	return b, dial(t, b.Bootstrap())
}

// another is a second connection to the same broker.
func (c *client) another() *client { return dial(c.TB, c.addr) }

// each runs f as a subtest for every version of a range, over the same connection.
func each(c *client, low, high int16, f func(c *client, v int16)) {
	t := c.TB.(*testing.T)
	for v := low; v <= high; v++ {
		t.Run(fmt.Sprintf("v%d", v), func(t *testing.T) { f(&client{t, c.link}, v) })
	}
}

// frame encodes a request.
func (c *client) frame(v int16, req kmsg.Request) []byte {
	req.SetVersion(v)
	c.correlation++
	return c.format.AppendRequest(nil, req, c.correlation)
}

// write sends bytes as they are.
func (c *client) write(b []byte) {
	c.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.Fatal("write: ", err)
	}
}

// send sends a request that gets an answer, and does not wait for it.
func (c *client) send(v int16, req kmsg.Request) {
	c.Helper()
	c.write(c.frame(v, req))
	c.expected = append(c.expected, c.correlation)
}

// readFrame returns the next answer with its correlation id taken off.
func (c *client) readFrame() (correlation int32, body []byte, err error) {
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return 0, nil, err
	}
	n := int32(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > 256<<20 {
		return 0, nil, fmt.Errorf("an answer of %d bytes", n)
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(c.nc, body); err != nil {
		return 0, nil, err
	}
	return int32(binary.BigEndian.Uint32(body)), body[4:], nil
}

// receive reads the next answer into resp, whose version must be set. All of the answer
// must be what kmsg makes of it.
func (c *client) receive(resp kmsg.Response) {
	c.Helper()
	correlation, body, err := c.readFrame()
	if err != nil {
		c.Fatalf("no answer for %s v%d: %v", kmsg.NameForKey(resp.Key()), resp.GetVersion(), err)
	}
	if len(c.expected) == 0 || c.expected[0] != correlation {
		c.Fatalf("answer with correlation id %d, want the first of %v", correlation, c.expected)
	}
	c.expected = c.expected[1:]
	if resp.IsFlexible() && resp.Key() != kmsg.ApiVersions.Int16() {
		if len(body) == 0 || body[0] != 0 {
			c.Fatalf("the header of the answer to %s v%d has tags: %x", kmsg.NameForKey(resp.Key()), resp.GetVersion(), body)
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		c.Fatalf("%s v%d does not decode: %v\n%x", kmsg.NameForKey(resp.Key()), resp.GetVersion(), err, body)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		c.Errorf("%s v%d decodes to something else than was sent:\n got %x\nkmsg %x", kmsg.NameForKey(resp.Key()), resp.GetVersion(), body, again)
	}
}

// call sends one request and reads its answer.
func call[R kmsg.Response](c *client, v int16, req kmsg.Request) R {
	c.Helper()
	c.send(v, req)
	resp := req.ResponseKind()
	resp.SetVersion(v)
	c.receive(resp)
	return resp.(R)
}

// mustClose checks that the broker ends the connection, and sends nothing before.
func (c *client) mustClose() {
	c.Helper()
	n, err := c.nc.Read(make([]byte, 1))
	var late net.Error
	if n > 0 || err == nil || errors.As(err, &late) && late.Timeout() {
		c.Fatalf("the connection is not closed: read %d bytes, %v", n, err)
	}
}

// mustServe checks that the broker serves a new connection.
func mustServe(t testing.TB, addr string) {
	t.Helper()
	c := dial(t, addr)
	defer c.nc.Close()
	code(c, call[*kmsg.ApiVersionsResponse](c, 0, kmsg.NewPtrApiVersionsRequest()).ErrorCode, nil)
}

// code checks an error code; nil wants none.
func code(t testing.TB, got int16, want *kerr.Error) {
	t.Helper()
	if want == nil && got != 0 || want != nil && got != want.Code {
		t.Errorf("error code %d (%v), want %v", got, kerr.ErrorForCode(got), want)
	}
}

// equal checks anything comparable.
func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// one returns the only element of a list.
func one[T any](t testing.TB, what string, list []T) T {
	t.Helper()
	if len(list) != 1 {
		t.Fatalf("%d %s, want 1: %+v", len(list), what, list)
	}
	return list[0]
}
