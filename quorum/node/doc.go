// Package node is one member of the ensemble: hashicorp/raft over a tree.State, with the way
// that a write takes from any server to the leader and back.
//
// A write is submitted on any server, travels on one ordered stream to the leader, is packed
// with others into one Raft entry, and is applied on every server; the server where it was
// submitted finds it in its own apply (Txn.Origin, Txn.Req) and answers its client then. So a
// client reads its own writes, and there is no reply on the way back.
//
// What holds:
//
//   - Sinks are told everything in zxid order, one call at a time, on every server alike.
//   - A stream that breaks is never resumed: what was under way on it is in doubt, the sinks are
//     told so (WritesLost), and what they send again carries the same ConnGen and Seq.
//   - Only a leader that has applied everything of its predecessors takes transactions, ends
//     sessions or changes the ensemble (reign).
//   - A server serves while it leads, or hears a leader and applies what that told of (gate).
//   - What a leader's own disk may not have yet, nobody learns to be committed (doubt).
//   - A server whose stores were lost never answers for its old name (identity.go).
//   - What cannot be written, read or applied ends the node with a typed error (Wait), never with
//     a panic, and nothing leaves the server after it.
//
// Raft goes by package time. All else goes by Options.Clock, and nothing waits outside of
// channels, condition variables and connections, so that an ensemble runs in testing/synctest.
package node
