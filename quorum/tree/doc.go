// Package tree is ZooKeeper's data: znodes, sessions and the rules by which transactions
// change them. It is pure: no clock, no goroutine, no randomness, no lock, and no result
// that depends on the order of a map. Equal entries in equal order make equal states on
// every server; what an entry depends on (time, identities, the cluster's secret) stands in
// it.
package tree
