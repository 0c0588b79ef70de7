package perf

import (
	"fmt"
	"io"
	"time"
)

// mib is the MB of Kafka's tools.
const mib = 1024 * 1024

// readStats prints the lines of Kafka's ConsumerPerformance. Times are wall milliseconds.
type readStats struct {
	out      io.Writer
	format   string // of dates, as Java's SimpleDateFormat has it
	detailed bool
	every    int64 // ms between the lines of a detailed run

	startMs            int64
	records, bytes     int64
	lastRecords        int64
	lastBytes          int64
	lastMs             int64
	joinMs, joinRound  int64 // time without an assignment: in all, and until the first line
	joinRoundForgotten bool
}

func (s *readStats) header() {
	first := "start.time, end.time"
	if s.detailed {
		first = "time, threadId"
	}
	fmt.Fprintf(s.out, "%s, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n", first)
}

func (s *readStats) start(nowMs int64) { s.startMs, s.lastMs = nowMs, nowMs }

// joined counts ms that passed without an assignment. Kafka shows them per line only until
// the first line: what it resets then is not what its listener counts in afterwards.
func (s *readStats) joined(ms int64) {
	s.joinMs += ms
	if !s.joinRoundForgotten {
		s.joinRound += ms
	}
}

// polled counts one poll, which returned at nowMs; firstBytes are those of its first record.
// Kafka looks at its watch with each record, but its time is that of the poll: so a line is
// printed at the first record of a poll, if at all.
func (s *readStats) polled(nowMs, records, bytes, firstBytes int64) {
	if records > 0 && nowMs-s.lastMs >= s.every {
		s.records++
		s.bytes += firstBytes
		records, bytes = records-1, bytes-firstBytes
		if s.detailed {
			s.printProgress(nowMs)
		}
		s.joinRound, s.joinRoundForgotten = 0, true
		s.lastMs, s.lastRecords, s.lastBytes = nowMs, s.records, s.bytes
	}
	s.records += records
	s.bytes += bytes
}

// interval counts what came in an interval that ended at nowMs, whole: without polls there
// is no first record to print a line at. An interval may be a little short.
func (s *readStats) interval(nowMs, records, bytes int64) {
	s.records += records
	s.bytes += bytes
	if 10*(nowMs-s.lastMs) < 9*s.every {
		return
	}
	if s.detailed {
		s.printProgress(nowMs)
	}
	s.lastMs, s.lastRecords, s.lastBytes = nowMs, s.records, s.bytes
}

func (s *readStats) printProgress(nowMs int64) {
	elapsed := float64(nowMs - s.lastMs)
	mb := float64(s.bytes) / mib
	intervalMB := float64(s.bytes-s.lastBytes) / mib
	interval := float64(s.records - s.lastRecords)
	fetchMs := nowMs - s.lastMs - s.joinRound
	fetchMBPerS, fetchPerS := 0.0, 0.0
	if fetchMs > 0 {
		fetchMBPerS = 1000 * intervalMB / float64(fetchMs)
		fetchPerS = 1000 * interval / float64(fetchMs)
	}
	fmt.Fprintf(s.out, "%s, %d, %s, %s, %d, %s, %d, %d, %s, %s\n",
		s.date(nowMs), 0, fixed(mb, 4), fixed(1000*intervalMB/elapsed, 4), s.records, fixed(interval/elapsed*1000, 4),
		s.joinRound, fetchMs, fixed(fetchMBPerS, 4), fixed(fetchPerS, 4))
}

// printTotal prints the one line of a run that is not detailed.
func (s *readStats) printTotal(endMs int64) {
	if s.detailed {
		return
	}
	elapsedS := float64(endMs-s.startMs) / 1000
	fetchMs := endMs - s.startMs - s.joinMs
	mb := float64(s.bytes) / mib
	fmt.Fprintf(s.out, "%s, %s, %s, %s, %d, %s, %d, %d, %s, %s\n",
		s.date(s.startMs), s.date(endMs), fixed(mb, 4), fixed(mb/elapsedS, 4), s.records, fixed(float64(s.records)/elapsedS, 4),
		s.joinMs, fetchMs, fixed(mb/(float64(fetchMs)/1000), 4), fixed(float64(s.records)/(float64(fetchMs)/1000), 4))
}

// date formats wall milliseconds; the pattern was checked when the flags were.
func (s *readStats) date(ms int64) string {
	text, _ := formatDate(s.format, time.UnixMilli(ms))
	return text
}
