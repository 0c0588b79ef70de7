package broker

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/coordinator/group"
	"github.com/millrace/millrace/internal/clock"
	"github.com/millrace/millrace/replication"
)

// Lag of consumer groups. A consumer that reads all records is behind the high watermark,
// one that reads committed records only (read_committed) can come no further than the last
// stable offset: a transaction that stays open is no reason to look for the fault at the
// consumer. Nobody tells the coordinator which kind a consumer is, so both are shown; they
// differ only while a transaction is open.
//
// Lag in time is the age of the first record that was not committed. Its time stands in a
// batch header that the index leads to, so that it costs one short read; and one only when
// the committed offset moved since the last scrape.

var (
	groupOffset   = desc("group_committed_offset", "Offset that a group committed.", "group", "topic", "partition")
	groupLag      = desc("group_lag_records", "Records between a group's committed offset and the high watermark.", "group", "topic", "partition")
	groupLagTime  = desc("group_lag_seconds", "Age of the first record that a group did not commit; 0 when there is none.", "group", "topic", "partition")
	stableLag     = desc("group_stable_lag_records", "As group_lag_records, up to the last stable offset: what a read_committed consumer can read.", "group", "topic", "partition")
	stableLagTime = desc("group_stable_lag_seconds", "As group_lag_seconds, up to the last stable offset.", "group", "topic", "partition")
	groupMembers  = desc("group_members", "Members of a group.", "group")
	groupCount    = desc("groups", "Groups that this broker coordinates, by their protocol and state.", "protocol", "state")
)

// lags remembers the times of first uncommitted records from one scrape to the next.
type lags struct {
	mu    sync.Mutex
	times map[lagPlace]int64
}

type lagPlace struct {
	partition *replication.Partition
	offset    int64
}

func (s scrape) groups(b *Broker, l *lags) {
	if b.groups == nil {
		return
	}
	type kind struct{ protocol, state string }
	count := map[kind]int64{}
	b.groups.Groups(func(g group.Info) bool {
		s.gauge(groupMembers, int64(g.Members), g.ID)
		count[kind{g.Kind.String(), g.State}]++
		return true
	})
	for k, n := range count {
		s.gauge(groupCount, n, k.protocol, k.state)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	times := make(map[lagPlace]int64, len(l.times))
	nowMs := clock.UnixMs(b.clock)
	b.groups.Offsets(func(o *group.CommittedOffset) bool {
		p, err := b.manager.Get(o.Topic, o.Partition)
		if err != nil {
			return true // deleted, or led elsewhere: who leads it knows
		}
		f := l.of(p, o.Offset, nowMs, times)
		labels := newLabels("group", o.Group, "topic", o.Topic, "partition", itoa(o.Partition))
		s.labelled(groupOffset, prometheus.GaugeValue, float64(o.Offset), labels)
		s.labelled(groupLag, prometheus.GaugeValue, float64(f.records), labels)
		s.labelled(groupLagTime, prometheus.GaugeValue, f.seconds, labels)
		s.labelled(stableLag, prometheus.GaugeValue, float64(f.stableRecords), labels)
		s.labelled(stableLagTime, prometheus.GaugeValue, f.stableSeconds, labels)
		return true
	})
	l.times = times
}

type lag struct {
	records, stableRecords int64
	seconds, stableSeconds float64
}

// of measures one committed offset, and notes in times what it read.
func (l *lags) of(p *replication.Partition, committed, nowMs int64, times map[lagPlace]int64) (f lag) {
	log := p.Log()
	stable := log.LastStableOffset()
	end := max(log.HighWatermark(), stable)
	f.records, f.stableRecords = max(0, end-committed), max(0, stable-committed)
	if f.records == 0 {
		return f
	}
	place := lagPlace{p, max(committed, log.LogStartOffset())} // what is deleted nobody waits for
	ms, known := l.times[place]
	if !known {
		var err error
		if ms, known, err = log.TimestampAt(place.offset, end); err != nil {
			known = false // the log says of itself what is wrong with it
		}
	}
	if !known {
		return f
	}
	times[place] = ms
	f.seconds = max(0, float64(nowMs-ms)/1000)
	if place.offset < stable {
		f.stableSeconds = f.seconds
	}
	return f
}
