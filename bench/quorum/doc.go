// Package quorum is "millrace bench quorum": what a ZooKeeper ensemble takes and what that
// costs it, ours or Apache's, alone or in turns.
//
// The load comes from bench/wire: requests that lie ready, or whose path alone is made, on
// raw connections, of the replies of which only the head is read. What needs more than load
// (the leader killed, a restart) starts its own servers (bench/launch).
//
// All servers of an ensemble are charged: the CPU time of a run is the sum of theirs.
package quorum
