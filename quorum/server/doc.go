// Package server is the ZooKeeper client port of one member: connections, sessions, reads,
// watches, four-letter words and the HTTP commands, over the member's tree.
//
// A connection has one reader goroutine. It reads while it holds no buffer and executes reads
// itself, from memory, under the state's read lock. A write goes to the ensemble and leaves a
// slot in the connection's queue; when this server applies it, the goroutine that applies
// answers it. Requests of one connection are executed in the order in which they came: a read
// behind a write waits in the queue and is executed by the goroutine that applies, right after
// that write, at its zxid, so that it sees nothing that came later. Writes behind a write are
// submitted at once.
//
// What the port promises of watches: an event is queued to its connection inside the state's
// write lock, before the reply of the write that caused it; a read leaves its watch and queues
// its reply under one read lock. So a client hears of a change before it can see it, and of
// no change before the reply that armed the watch.
//
// Replies and events are bytes in one buffer per connection, bounded: a connection that does
// not take them is closed, events are never dropped. The reader sends what is queued when it
// finds no further complete request; what the applying goroutine queued is sent by a goroutine
// that lives as long as there is something to send. An idle connection has one goroutine and
// no buffers.
//
// The word mntr, and /commands/monitor, have those of ZooKeeper's metrics that mean something here
// and were measured: all that its mntr had before 3.6, connections, sessions, watches, latencies of
// reads and writes, fsynctime, snapshottime, elections (election_time lasts until this server
// serves, so it has the time to catch up in it; stale_sessions_expired counts the ensemble's on
// every server). Left out is what this server does not have: the queues and stages of the request
// processors (prep_, sync_, commit_, *_commitproc_*, *_final_proc_*, om_, learner_handler_), the
// response cache, the cleaner of dead watchers, SASL between servers, the connection throttle, the
// JVM (go_ and process_ of the Prometheus port take its place), and bytes by the first part of
// paths. Leader and followers exchange Raft's messages, so there are no proposals and
// acknowledgements to count one by one; the srvr line of their sizes says -1.
//
// Locks, from the outside in: the state's (node.Read, or Applied's), the watch table's, a
// connection's. Server.mu, of the registry of connections, is taken under the state's lock and
// with none of the others held. No lock is held over the network.
package server
