// Package retention checks what a broker deletes, when, and what a client sees of it: by
// size, by time, by request, and nothing else. Its tests run against the broker that
// BOOTSTRAP names, which must have log.retention.check.interval.ms small and
// log.segment.delete.delay.ms small for them to be quick, or launch one.
//
// The rules are Apache Kafka's: whole segments go, oldest first. By size, a segment goes
// while at least retention.bytes remain without it. By time, a segment goes when its
// largest record timestamp is older than retention.ms, the active segment too, and
// deletion stops at the first segment that stays.
package retention
