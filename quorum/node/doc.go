// Package node is one member of the ensemble: hashicorp/raft over a tree.State, with the way
// that a write takes from any server to the leader and back.
//
// A write is submitted on any server, travels on one ordered stream to the leader, is packed
// with others into one Raft entry, and is applied on every server; the server where it was
// submitted finds it in its own apply (Txn.Origin, Txn.Req) and answers its client then. So a
// client reads its own writes, and there is no reply on the way back.
package node
