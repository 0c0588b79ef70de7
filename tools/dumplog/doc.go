// Package dumplog is kafka-dump-log.sh (Kafka's DumpLogSegments): it prints what the files
// of a partition hold, line by line as Kafka's tool does, for .log, .index, .timeindex,
// .txnindex and .snapshot files, whoever wrote them.
//
// The lines changed over the years. Today's are printed; --print-format 1.0 and 2.4 give
// those of Kafka 1.0 and 2.4, whose dumps of real log directories are the tests here.
//
// Nothing is written, and nothing is trusted: a damaged file costs lines, not the tool.
// Message formats 0 and 1 are read here and nowhere else: a person who moves from an old
// Kafka has to see what is in the files that the broker refuses.
package dumplog
