package broker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace/engine"
)

var (
	cleanerThreads     = desc("cleaner_threads", "Threads of the log cleaner.")
	cleanerRunning     = desc("cleaner_running", "Logs that are being cleaned.")
	cleanerRuns        = desc("cleaner_cleanings_total", "Cleanings of logs that succeeded.")
	cleanerFailures    = desc("cleaner_failures_total", "Cleanings of logs that failed.")
	cleanerRead        = desc("cleaner_read_bytes_total", "Bytes that the cleaner read, in both of its passes.")
	cleanerWritten     = desc("cleaner_written_bytes_total", "Bytes that the cleaner wrote.")
	cleanerRecopy      = desc("cleaner_recopy_ratio", "What the last cleaning kept of what it read, 0 to 1.")
	cleanerBuffer      = desc("cleaner_buffer_ratio", "How full the table of keys was in the last cleaning, 0 to 1.")
	cleanerLastRun     = desc("cleaner_last_run_timestamp_seconds", "When the cleaner last looked for something to clean, in Unix time.")
	cleanerDuration    = desc("cleaner_last_duration_seconds", "How long the last cleaning took.")
	cleanerDirty       = desc("cleaner_max_dirty_ratio", "Largest dirty part of a log when the cleaner last looked, 0 to 1.")
	cleanerDelay       = desc("cleaner_max_compaction_delay_seconds", "How long the most overdue record has passed max.compaction.lag.ms.")
	cleanerBroken      = desc("cleaner_uncleanable_partitions", "Partitions that cannot be cleaned and were set aside.")
	cleanerBrokenBytes = desc("cleaner_uncleanable_bytes", "Bytes of those partitions.")
	cleanerBrokenOne   = desc("cleaner_uncleanable", "1 for each partition that cannot be cleaned.", "topic", "partition")
)

func (s scrape) ratio(d *prometheus.Desc, v float64) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
}

func (s scrape) cleaner(st engine.CleanerStatus) {
	s.gauge(cleanerThreads, int64(st.Threads))
	s.gauge(cleanerRunning, int64(st.Running))
	s.count(cleanerRuns, st.Cleanings)
	s.count(cleanerFailures, st.Failed)
	s.count(cleanerRead, st.ReadBytes)
	s.count(cleanerWritten, st.WrittenBytes)
	s.ratio(cleanerRecopy, st.RecopyPercent/100)
	s.ratio(cleanerBuffer, st.BufferPercent/100)
	if !st.LastRun.IsZero() {
		s.ratio(cleanerLastRun, float64(st.LastRun.UnixMilli())/1000)
	}
	s.ratio(cleanerDuration, st.LastDuration.Seconds())
	s.ratio(cleanerDirty, st.MaxDirtyPercent/100)
	s.ratio(cleanerDelay, float64(st.MaxCompactionDelayMs)/1000)
	s.gauge(cleanerBroken, int64(len(st.Uncleanable)))
	s.gauge(cleanerBrokenBytes, st.UncleanableBytes)
	for tp := range st.Uncleanable {
		s.gauge(cleanerBrokenOne, 1, tp.Topic, itoa(tp.Partition))
	}
}
