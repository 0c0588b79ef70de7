package quota

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/metadata"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var kafkas = Window{Samples: 11, SampleMs: 1000}

func user(u string) metadata.QuotaEntity   { return metadata.QuotaEntity{User: name(u)} }
func client(c string) metadata.QuotaEntity { return metadata.QuotaEntity{ClientID: name(c)} }
func both(u, c string) metadata.QuotaEntity {
	return metadata.QuotaEntity{User: name(u), ClientID: name(c)}
}

func name(s string) metadata.QuotaName {
	if s == "*" {
		return metadata.DefaultQuota()
	}
	return metadata.NamedQuota(s)
}

type entries map[metadata.QuotaEntity]map[string]string

func table(t *testing.T, of entries) *Table {
	return NewTable(of, func(path, key, value string) { t.Errorf("%s: %s=%s cannot be read", path, key, value) })
}

// TestPrecedence takes the eight levels away one after the other, the first one first.
func TestPrecedence(t *testing.T) {
	levels := []metadata.QuotaEntity{
		both("u", "c"), both("u", "*"), user("u"), both("*", "c"), both("*", "*"), user("*"), client("c"), client("*"),
	}
	together := []tags{{"u", "c"}, {"u", "c"}, {"u", ""}, {"u", "c"}, {"u", "c"}, {"u", ""}, {"", "c"}, {"", "c"}}
	of := entries{both("other", "c"): {"producer_byte_rate": "99"}, both("u", "other"): {"producer_byte_rate": "98"}}
	for i, e := range levels {
		of[e] = map[string]string{"producer_byte_rate": fmt.Sprint(i + 1), "request_percentage": "5"}
	}
	for i, e := range levels {
		tab := table(t, of)
		limit, who, ok := tab.find(Produce, "u", "c")
		if !ok || limit != float64(i+1) || who != together[i] {
			t.Errorf("level %d: %v for %+v (%t), want %d for %+v", i+1, limit, who, ok, i+1, together[i])
		}
		delete(of[e], "producer_byte_rate") // the level still has a quota of another kind
	}
	if _, _, ok := table(t, of).find(Produce, "u", "c"); ok {
		t.Error("a quota is left")
	}
	if limit, _, _ := table(t, of).find(Request, "u", "c"); limit != 5 {
		t.Errorf("the other kind is %v", limit)
	}
}

// TestClientWithoutID counts only as its user, as in Kafka.
func TestClientWithoutID(t *testing.T) {
	of := entries{both("u", "*"): {"producer_byte_rate": "1"}, client("*"): {"producer_byte_rate": "2"}}
	if limit, _, ok := table(t, of).find(Produce, "u", ""); ok {
		t.Errorf("limit %v without a quota of the user", limit)
	}
	of[user("*")] = map[string]string{"producer_byte_rate": "3"}
	if limit, _, ok := table(t, of).find(Produce, "u", ""); !ok || limit != 3 {
		t.Errorf("limit %v, %t, want the default user's", limit, ok)
	}
}

func TestUnreadableQuotaIsNone(t *testing.T) {
	told := 0
	tab := NewTable(entries{user("u"): {"producer_byte_rate": "many", "SCRAM-SHA-256": "x"}, {IP: name("host")}: {"connection_creation_rate": "1"}},
		func(string, string, string) { told++ })
	if told != 2 {
		t.Errorf("%d complaints, want 2", told)
	}
	if _, _, ok := tab.find(Produce, "u", "c"); ok {
		t.Error("a quota that cannot be read is in force")
	}
	if NewTable(entries{user("u"): {"SCRAM-SHA-256": "x"}}, nil) != nil {
		t.Error("a table without quotas")
	}
}

// naiveRate is Kafka's rule written down again, over the list of all that was recorded.
type naiveRate struct {
	w       Window
	windows []naiveWindow
}

type naiveWindow struct {
	start, last int64
	sum         float64
}

func (r *naiveRate) record(v float64, now int64) {
	n := len(r.windows)
	if n == 0 || now-r.windows[n-1].start >= r.w.SampleMs {
		r.windows = append(r.windows, naiveWindow{start: now})
		n++
	}
	r.windows[n-1].sum += v
	r.windows[n-1].last = now
}

// throttle follows the text of QuotaUtils.throttleTime.
func (r *naiveRate) throttle(bound float64, now int64) int64 {
	kept := r.windows
	if len(kept) > r.w.Samples+1 {
		kept = kept[len(kept)-r.w.Samples-1:]
	}
	sum, oldest := 0.0, now
	for _, w := range kept {
		if now-w.last < int64(r.w.Samples)*r.w.SampleMs {
			sum += w.sum
			oldest = min(oldest, w.start)
		}
	}
	over := now - oldest
	if full := over / r.w.SampleMs; full < int64(r.w.Samples-1) {
		over += (int64(r.w.Samples-1) - full) * r.w.SampleMs
	}
	over = max(over, 1)
	rate := sum / (float64(over) / 1000)
	if rate <= bound {
		return 0
	}
	return int64(math.Round((rate - bound) / bound * float64(over)))
}

func TestRateAgainstModel(t *testing.T) {
	rng := testkit.Rand(t)
	for range 200 {
		w := Window{Samples: 1 + rng.IntN(12), SampleMs: 100 + rng.Int64N(2000)}
		bound := 1 + rng.Float64()*1000
		now := rng.Int64N(5000)
		var r rate
		model := naiveRate{w: w}
		for step := range 300 {
			switch rng.IntN(8) {
			case 0:
				now += rng.Int64N(3 * int64(w.Samples) * w.SampleMs) // longer than all windows, perhaps
			case 1, 2:
				now += rng.Int64N(2 * w.SampleMs)
			default:
				now += rng.Int64N(50)
			}
			v := float64(rng.IntN(2000))
			r.record(w, v, now)
			model.record(v, now)
			got, want := r.throttle(w, bound, now).Milliseconds(), model.throttle(bound, now)
			if d := got - want; d < -1 || d > 1 { // sums of floats in another order
				t.Fatalf("step %d, window %+v, bound %v: throttle %d ms, want %d", step, w, bound, got, want)
			}
		}
	}
}

func newManager(of entries) (*Manager, *testkit.Clock) {
	c := testkit.NewClock(time.Unix(1_000_000, 0))
	m := NewManager(Options{Clock: c, Client: kafkas, Controller: kafkas})
	m.Set(NewTable(of, nil))
	return m, c
}

func TestProduceIsCountedAndFetchIsNotWhenThrottled(t *testing.T) {
	m, c := newManager(entries{user("*"): {"producer_byte_rate": "1000", "consumer_byte_rate": "1000"}})
	cl := m.Resolve(nil, "u", "c")
	if d := m.Bytes(cl, Produce, 10_000); d != 0 {
		t.Errorf("ten seconds' worth is throttled for %v", d)
	}
	if d := m.Bytes(cl, Produce, 100); d != 100*time.Millisecond {
		t.Errorf("100 bytes above are throttled for %v, want 100ms", d)
	}
	if d := m.Bytes(cl, Produce, 100); d != 200*time.Millisecond {
		t.Errorf("200 bytes above are throttled for %v, want 200ms", d)
	}
	for range 3 {
		if d := m.Bytes(cl, Fetch, 10_100); d != 100*time.Millisecond {
			t.Errorf("a fetch is throttled for %v, want 100ms: its bytes are not sent and do not count", d)
		}
	}
	if most := m.MostFetched(cl); most != 10_000 {
		t.Errorf("a fetch may bring %d bytes, want 10000", most)
	}
	if d := m.Bytes(cl, Fetch, 10_000); d != 0 {
		t.Errorf("the largest fetch is throttled for %v", d)
	}
	m.Refund(cl, 10_000)
	c.Advance(5 * time.Second)
	if d := m.Bytes(cl, Fetch, 10_000); d != 0 {
		t.Errorf("after a refund %v", d)
	}
	if m.Resolve(cl, "u", "c") != cl {
		t.Error("a client is resolved anew without a change")
	}
}

func TestWhoIsMeasuredTogether(t *testing.T) {
	m, _ := newManager(entries{user("u"): {"producer_byte_rate": "1000"}, client("*"): {"producer_byte_rate": "1000"}})
	m.Bytes(m.Resolve(nil, "u", "a"), Produce, 10_000)
	if m.Bytes(m.Resolve(nil, "u", "b"), Produce, 1000) == 0 {
		t.Error("two clients of a user have a quota each")
	}
	m.Bytes(m.Resolve(nil, "v", "a"), Produce, 10_000)
	if m.Bytes(m.Resolve(nil, "w", "a"), Produce, 1000) == 0 {
		t.Error("two users of a client id have a quota each")
	}
	if d := m.Bytes(m.Resolve(nil, "w", "b"), Produce, 1000); d != 0 {
		t.Errorf("the default client id is one for all: %v", d)
	}
}

func TestChangeKeepsWhatWasUsed(t *testing.T) {
	m, _ := newManager(entries{user("u"): {"producer_byte_rate": "1000"}})
	old := m.Resolve(nil, "u", "c")
	m.Bytes(old, Produce, 10_000)
	m.Set(NewTable(entries{user("u"): {"producer_byte_rate": "500"}}, nil))
	cl := m.Resolve(old, "u", "c")
	if cl == old {
		t.Fatal("the client has the old quota")
	}
	if d := m.Bytes(cl, Produce, 0); d != 10*time.Second {
		t.Errorf("throttled for %v at half the quota, want 10s", d)
	}
	m.Set(nil)
	if m.Active() || m.Resolve(cl, "u", "c") != nil {
		t.Error("quotas that were taken away are in force")
	}
}

func TestRequestTime(t *testing.T) {
	m, c := newManager(entries{client("c"): {"request_percentage": "1"}})
	cl := m.Resolve(nil, "u", "c")
	m.Spent(cl, 100*time.Millisecond) // 10% of a second, 1% of ten
	if d := m.Requests(cl); d != 0 {
		t.Errorf("at the quota: %v", d)
	}
	m.Spent(cl, time.Millisecond)
	if d := m.Requests(cl); d != 100*time.Millisecond {
		t.Errorf("throttled for %v, want 100ms", d)
	}
	m.Spent(cl, time.Second)
	if d := m.Requests(cl); d != time.Second {
		t.Errorf("throttled for %v, want one window at most", d)
	}
	c.Advance(12 * time.Second)
	if d := m.Requests(cl); d != 0 {
		t.Errorf("after all windows: %v", d)
	}
	if cl.Limits(Produce) || !cl.Limits(Request) {
		t.Error("which kinds are limited")
	}
}

func TestMutations(t *testing.T) {
	m, c := newManager(entries{user("u"): {"controller_mutation_rate": "1"}})
	cl := m.Resolve(nil, "u", "c")
	if d, ok := m.Mutate(cl, 15, true); d != 0 || !ok { // eleven in the bucket: a debt of four
		t.Errorf("the burst: %v, %t", d, ok)
	}
	if d, ok := m.Mutate(cl, 1, true); d != 4*time.Second || ok {
		t.Errorf("in debt: %v, %t; want 4s and refused", d, ok)
	}
	if d, ok := m.Mutate(cl, 1, false); d != 5*time.Second || !ok {
		t.Errorf("permissive: %v, %t; want 5s and allowed", d, ok)
	}
	m.Purge()
	c.Advance(5 * time.Second)
	if d, ok := m.Mutate(cl, 1, true); d != 0 || !ok {
		t.Errorf("debt paid: %v, %t", d, ok)
	}
	c.Advance(time.Hour)
	m.Purge()
	if len(m.meters) != 0 {
		t.Error("an idle meter is kept")
	}
	if d, ok := m.Mutate(cl, 11, true); d != 0 || !ok {
		t.Errorf("a full bucket: %v, %t", d, ok)
	}
	if len(m.meters) != 1 || m.Resolve(cl, "u", "c") == cl {
		t.Error("a client that held a forgotten meter still does")
	}
	if d, ok := m.Mutate(m.Resolve(cl, "u", "c"), 1, true); d != 0 || !ok {
		t.Errorf("nothing owed: %v, %t", d, ok)
	}
	if d, ok := m.Mutate(cl, 1, true); d != time.Second || ok {
		t.Errorf("both holders draw from one bucket: %v, %t", d, ok)
	}
}

func TestConnections(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")
	m, c := newManager(entries{{IP: name("10.0.0.1")}: {"connection_creation_rate": "2"}, {IP: name("*")}: {"connection_creation_rate": "1"}})
	admitted := func(a netip.Addr, n int) (ok int, d time.Duration) {
		for range n {
			if d = m.Admit(a); d == 0 {
				ok++
			}
		}
		return ok, d
	}
	if n, d := admitted(a, 30); n != 20 || d != 500*time.Millisecond {
		t.Errorf("%d connections, %v; want 20 and 500ms: two a second over ten seconds", n, d)
	}
	if n, _ := admitted(b, 30); n != 10 {
		t.Errorf("%d connections of another address, want 10", n)
	}
	c.Advance(11 * time.Second)
	if n, _ := admitted(a, 1); n != 1 {
		t.Error("refused after all windows")
	}
	for i := range 12 {
		d := m.Connect(1)
		if want := time.Duration(max(0, i-9)) * time.Second; d != min(want, time.Second) {
			t.Errorf("connection %d waits for %v", i, d)
		}
	}
	if d := m.Connect(math.MaxInt32); d != 0 {
		t.Error("a limit where there is none")
	}
	c.Advance(time.Hour)
	m.Purge()
	if len(m.addresses) != 0 {
		t.Error("an idle address is kept")
	}
}

func TestWithoutQuotasAllocatesNothing(t *testing.T) {
	m, _ := newManager(nil)
	if n := testing.AllocsPerRun(100, func() {
		if m.Active() || m.Resolve(nil, "u", "c") != nil {
			t.Fatal("a quota")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCharge(b *testing.B) {
	for _, quotas := range []bool{false, true} {
		b.Run(fmt.Sprintf("quotas=%t", quotas), func(b *testing.B) {
			of := entries{}
			if quotas {
				of[user("u")] = map[string]string{"producer_byte_rate": "1e15"}
			}
			m, _ := newManager(of)
			var cl *Client
			b.ReportAllocs()
			for b.Loop() {
				if cl = m.Resolve(cl, "u", "c"); cl != nil {
					m.Bytes(cl, Produce, rand.IntN(1000))
				}
			}
		})
	}
}
