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
// A connection without TLS whose requests are small and never make its reader wait is read by a
// lane (netx.Lanes), together with others, while its goroutine sleeps; lane.go has the rules. What
// might wait is done by that goroutine: large requests, those that ask who the client is or change
// the ensemble, the end of a session, and everything while too much waits for an answer or to be
// sent. In a lane nobody who sends waits, neither the lane nor the senders of what the applying
// goroutine queued: what the socket does not take at once is left to the connection's goroutine,
// with the right to send.
//
// The word mntr, and /commands/monitor, have those of ZooKeeper's metrics that mean something here
// and were measured: all that its mntr had before 3.6, connections, sessions, watches, latencies of
// reads and writes, fsynctime, snapshottime, elections (election_time lasts until this server
// serves, so it has the time to catch up in it; stale_sessions_expired counts the ensemble's on
// every server). What ZooKeeper calls a proposal is a transaction here: proposal_count and the
// sizes count them as the leader puts them into the log, commit_count and
// learner_commit_received_count as they are applied on a leader and on others (a restart applies
// its log again), propagation_latency how long they took from there to here, by the clocks of the
// two. unavailable_time is election_time. non_mtls_*_conn_count are connections without TLS; with
// ZooKeeper's NIO factory they stay 0. A server that stands alone has nothing of proposals and
// elections.
//
// Left out is what this server does not have:
//   - the queues and stages of the request processors (prep_, sync_, commit_, *_commitproc_*,
//     *_final_proc_*, om_, learner_handler_, *session_queue*, outstanding_changes_)
//   - messages and the ways to catch up that Raft does not have: entries hold many transactions,
//     are acknowledged by index and not one by one, and followers do not look into them before they
//     are committed (proposal_latency, proposal_ack_creation_latency, quorum_ack_latency,
//     commit_propagation_latency, learner_proposal_received_count, snap_count, diff_count,
//     inflight_*, follower_sync_time, observer_sync_time, revalidate_count, socket_closing_time,
//     quit_leading_due_to_disloyal_voter)
//   - the load of a database at the start: the log is applied as it is committed anew (dbinittime,
//     startup_*)
//   - the response cache, the cleaner of dead watchers, SASL between servers, Netty's buffers, and
//     limits that are not there: connections by tokens, throttled and stale requests, large
//     requests, concurrent handshakes, an admin port for both (response_packet_*, *dead_watcher*,
//     ensemble_auth_*, netty_*, connection_token_deficit, throttled_ops, stale_*,
//     large_requests_rejected, tls_handshake_exceeded, insecure_admin_count)
//   - the JVM (go_ and process_ of the Prometheus port take its place), and bytes by the first
//     part of paths (*_per_namespace): names that clients choose are no metrics
//
// The HTTP commands are those of ZooKeeper 3.8 with its fields, but for those of a JVM
// (environment, system_properties). dump tells when sessions end in milliseconds since 1970, not
// since some start; hash the digest of now, not those of every 128th transaction; observers which
// there are and where: Raft has no queues for them, nor observers of followers.
//
// Locks, from the outside in: the state's (node.Read, or Applied's), the watch table's, a
// connection's. Server.mu, of the registry of connections, is taken under the state's lock and
// with none of the others held. No lock is held over the network.
package server
