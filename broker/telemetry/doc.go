// Package telemetry keeps what clients push of their own metrics (KIP-714), and shows it to
// Prometheus. The rules towards clients are those of Kafka's ClientMetricsManager.
//
//   - Clients knows the instances that asked for a subscription: what each is to push, how
//     often, and when it last did. It is a cache; a client that it forgot asks again.
//   - decode reads OTLP metrics, the protobuf that is pushed. It goes over the bytes once,
//     keeps no more points than it is told to, and fails on what is no such message.
//   - Series holds the values by client. Sums that come as differences are added up.
//
// All of it is bounded: instances, series of one client and of all, lengths of names and
// values, attributes of a point. What is beyond is dropped and counted. A client that is
// silent for three of its intervals, one minute at least, is forgotten with its series.
//
// What clients choose ends up in names and labels, and a scrape fails as a whole when two
// series are alike or two types share a name. So names are made of the client's in one
// place (name.go) that rules both out.
//
// Locks: Clients.mu and Series.mu are leaves.
package telemetry
