// Package differential replays random scripts of operations on two ZooKeeper servers or
// ensembles and compares what they answer, field by field.
//
// A script is a list of steps of several clients, one step after another, so that there is
// one right answer to each. In an ensemble each step is led by a sync on the same
// connection, which brings the client's server up to date with what the others wrote. What
// differs between two runs by nature is compared by what it means: zxids by their order and
// by which of them are equal (Compare), session ids by whose they are, times by their order
// to each other; names of children, which ZooKeeper lists in the order of a hash table, as
// sets. A failed transaction takes a zxid in ZooKeeper and none in ours, so that the zxid in
// the header of an answer is compared where a write succeeded only, and may else just not go
// back.
//
// What the tests compare with is Debian's Apache ZooKeeper 3.8.0.
package differential
