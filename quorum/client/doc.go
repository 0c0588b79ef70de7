// Package client is a small ZooKeeper client: one session, kept over the servers of a
// connect string, with asynchronous calls that are pipelined and synchronous ones on top.
//
// What it promises:
//   - Calls reach the server in the order in which they were made, and their outcomes are told
//     in that order.
//   - The event of a watch is told before the outcome of any call that shows the state after
//     it.
//   - When the connection breaks, every call that was made before fails with ConnectionLoss.
//     Error.Sent says whether it had left: then the outcome of a write is unknown.
//   - After a reconnect the session, its identities and its watches are in place before
//     anything else is sent. One-shot watches tell what was missed meanwhile. Watches that
//     stay do not: whoever has one reads again what it watches, after each Connected.
//   - The session never sees the ensemble go back in time: servers that lag behind what it saw
//     refuse it.
//
// OnState, Watch and done functions are called by one goroutine, in the order of the wire.
// They must not block, and so not make synchronous calls; Send is fine.
//
// The network, time and randomness come from the caller, so that a client runs under
// testing/synctest with a network in memory.
package client
