package drive

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// parameter is one entry of result.Run's Scenario.
type parameter struct{ name, value string }

// parameters are what distinguishes s, in the order in which people think of them.
func (s *Spec) parameters() []parameter {
	var out []parameter
	add := func(name, value string) {
		if value != "" {
			out = append(out, parameter{name, value})
		}
	}
	many := func(name string, n int) {
		if n > 1 {
			add(name, strconv.Itoa(n))
		}
	}
	add("size", s.sizeText())
	many("topics", s.Topics)
	if s.Partitions > 0 {
		add("partitions", strconv.Itoa(s.Partitions))
	}
	if s.produces() {
		add("acks", acksText(s.Acks))
		add("batch", byteText(int64(cmp.Or(s.BatchBytes, 64<<10))))
		if s.LingerMs > 0 {
			add("linger", strconv.Itoa(s.LingerMs)+"ms")
		}
		if s.Codec != 0 {
			add("codec", s.Codec.String())
		}
		if s.Workload.Keys != "" {
			add("keys", s.Workload.Keys)
		}
		if s.Workload.Compressibility > 0 {
			add("compressibility", strconv.FormatFloat(s.Workload.Compressibility, 'g', 3, 64))
		}
		many("headers", s.Workload.Headers)
		if s.Connections == 0 {
			many("producers", s.Producers)
		}
		many("batches per request", s.PartitionsPerRequest)
	}
	if s.consumes() {
		if s.Connections == 0 || s.produces() {
			many("consumers", s.Consumers)
		}
		if s.FetchMode != "" {
			add("read", string(s.FetchMode))
		}
		add("max partition bytes", byteText(int64(cmp.Or(s.FetchPartitionBytes, 1<<20))))
		if s.Cold != nil {
			add("cache", "cold")
		}
		add("group", s.ConsumerGroup)
	}
	many("connections", s.Connections)
	if s.Depth > 0 {
		add("depth", strconv.Itoa(s.Depth))
	}
	if s.Rate > 0 {
		add("rate", strconv.FormatFloat(s.Rate, 'f', -1, 64))
	}
	if s.FetchRate > 0 {
		add("fetch rate", strconv.FormatFloat(s.FetchRate, 'f', -1, 64))
	}
	if flush := s.TopicConfig["flush.messages"]; flush != "" {
		add("flush.messages", flush)
	}
	if s.Client == Franz {
		add("client", Franz)
	}
	return out
}

func (s *Spec) scenario() map[string]string {
	m := map[string]string{"kind": string(s.Kind)}
	for _, p := range s.parameters() {
		m[p.name] = p.value
	}
	return m
}

// sizeText is the size of records in words.
func (s *Spec) sizeText() string {
	w := s.Workload
	if w.PayloadFile != "" {
		return "file"
	}
	if n, err := strconv.ParseInt(w.Sizes, 10, 64); err == nil {
		return byteText(n)
	}
	return w.Sizes
}

func acksText(acks int16) string {
	if acks == -1 {
		return "all"
	}
	return strconv.Itoa(int(acks))
}

// byteText is 64KiB rather than 65536, when that is exact.
func byteText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%dB", n)
}

// check returns what is wrong with a Spec whose defaults are filled in.
func (s *Spec) check() error {
	wrong := func(field string, value any, want string) error {
		return &SpecError{Field: field, Value: fmt.Sprint(value), Want: want}
	}
	known := false
	for _, k := range Kinds() {
		known = known || k == s.Kind
	}
	switch {
	case !known:
		return wrong("Kind", strconv.Quote(string(s.Kind)), "must be one of "+kindList())
	case s.Client != Raw && s.Client != Franz:
		return wrong("Client", strconv.Quote(s.Client), "must be raw or franz-go")
	case s.Topics < 1 || s.Partitions < 0:
		return wrong("Topics, Partitions", fmt.Sprint(s.Topics, ", ", s.Partitions), "must be at least 1")
	case s.produces() && s.Producers < 1 || s.consumes() && s.Consumers < 1:
		return wrong("Producers, Consumers", fmt.Sprint(s.Producers, ", ", s.Consumers), "must be at least 1")
	case s.Acks < -1 || s.Acks > 1:
		return wrong("Acks", s.Acks, "must be 0, 1 or -1 (all)")
	case s.Rate < 0 || s.FetchRate < 0:
		return wrong("Rate, FetchRate", fmt.Sprint(s.Rate, ", ", s.FetchRate), "must be a number per second, or 0 for as fast as it goes")
	case s.FetchRate > 0 && s.Client == Franz:
		return wrong("FetchRate", s.FetchRate, "needs Client raw: a client library fetches when it wants")
	case s.Duration <= 0 && s.Records <= 0:
		return wrong("Duration, Records", "0, 0", "one of them must say when the run is over")
	case s.Kind == Heartbeats && s.Client != Raw:
		return wrong("Client", strconv.Quote(s.Client), "must be raw: a client library sends heartbeats when it wants")
	case s.Kind == Idle && s.Duration <= 0:
		return wrong("Duration", s.Duration, "an idle run ends by time")
	case s.FetchMode != Replay && s.FetchMode != Same && s.FetchMode != Tail:
		return wrong("FetchMode", strconv.Quote(string(s.FetchMode)), "must be replay, same or tail")
	case s.ConsumerGroup != "" && s.Client == Raw:
		return wrong("ConsumerGroup", s.ConsumerGroup, "needs Client franz-go: raw connections take partitions themselves")
	case s.FetchMode == Same && s.Client == Franz:
		return wrong("FetchMode", s.FetchMode, "needs Client raw: a client library does not read one place again")
	case s.Client == Raw && secured(s.Props):
		return wrong("security.protocol", s.Props["security.protocol"], "raw connections speak PLAINTEXT only: use Client franz-go")
	}
	return nil
}

func kindList() string {
	var words []string
	for _, k := range Kinds() {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

// secured says whether the connection needs more than bytes.
func secured(p map[string]string) bool {
	protocol := p["security.protocol"]
	return protocol != "" && !strings.EqualFold(protocol, "PLAINTEXT")
}
