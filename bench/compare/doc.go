// Package compare measures two brokers in turns, A B A B..., with scenarios of bench/suite,
// and compares them pair by pair: what drifts on a machine from one minute to the next meets
// both alike, and cancels out in the ratio of a pair.
//
// Each side is a broker that runs already (any Kafka) or a millrace binary, of which one is
// started for each scenario and lives as long as its pairs. A difference only counts as one
// when all pairs agree on its direction.
//
// Called by `millrace bench compare` and, with two builds, by `make bench-compare`.
package compare
