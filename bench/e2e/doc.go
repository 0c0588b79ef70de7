// Package e2e measures how long a record takes from its producer to a consumer: "millrace
// bench e2e", and kafka-e2e-latency.sh under the name that Kafka's users know.
//
// One at a time (a closed loop, as Kafka's tool): a record is sent, its acknowledgement
// awaited, then the record itself at a consumer that waits at the end of the log; only then
// the next one goes. With --throughput the loop is open: records are due at fixed times
// whatever the broker does, and latency counts from these times, so that a stall shows with
// every record that it held up.
//
// Invariants:
//   - Standard output has Kafka's lines and nothing else: a progress line for every 1000th
//     record, the average, percentiles in whole milliseconds. The figures behind them, in full,
//     go to standard error and to the files of --json, --html and --hgrm.
//   - Every record is known again when it is consumed: what another producer sends to the
//     topic is an error one at a time, as in Kafka's tool, and is passed over in an open loop.
//   - Records of the warm-up are sent and checked, but counted nowhere.
//   - Any Kafka broker will do. It needs no consumer groups: partitions are read directly.
//
// Both clients are franz-go's. bench calls Command, cmd/millrace calls Script.
package e2e
