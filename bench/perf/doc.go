// Package perf is Kafka's pair of load tools: kafka-producer-perf-test and
// kafka-consumer-perf-test, as "millrace bench producer" and "millrace bench consumer".
//
// What they print on standard output is what Kafka's tools print, to the character: people
// and their scripts parse it. Everything that is ours goes to standard error (the details
// below the result) or to files (--json, --html, --hgrm, --flame).
//
// Invariants:
//   - The figures of Kafka's lines are computed as Kafka computes them: whole milliseconds,
//     MB of 2^20 bytes, latency from the call of send, percentiles of a sample.
//   - The details and the files use the units of bench/result, nanoseconds and
//     HdrHistogram; under --throughput latency counts from the intended send time, and the
//     latency from the real one and the generator's own lateness stand beside it.
//   - Nothing here leans on the broker being ours; what only a broker on this machine or
//     its admin port can tell is left out when it is not there.
//
// Two clients can make the load: franz-go, an ordinary client with all of a client's costs,
// and bench/raw, pre-built batches over bare connections.
//
// bench calls Producer and Consumer; cmd/millrace gives them the names of Kafka's scripts.
package perf
