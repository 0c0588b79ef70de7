// Package tree is ZooKeeper's data: znodes, sessions and the rules by which transactions
// change them. It is pure: no clock, no goroutine, no randomness that shows, no lock, and no
// result that depends on the order of a map. Equal entries in equal order make equal states on
// every server; what an entry depends on (time, identities, the cluster's secret) stands in
// it.
//
// The rules are those of ZooKeeper 3.8 (PrepRequestProcessor judges, DataTree changes), down
// to the order of the checks, which decides the code that one gets who makes two mistakes.
// Where they differ:
//
//   - Requests are in the log, not outcomes, so there is no shadow of changes that are under
//     way: a request is judged when it is applied. So the operations of a multi see each
//     other in quotas too.
//   - The counter behind sequential names and cversion wraps at 2^31; ZooKeeper's stops there.
//   - TTL nodes are on unless SetFlags turns them off (ZooKeeper: extendedTypesEnabled).
//   - A version skips -1 when it wraps, as from ZooKeeper 3.9 on. Addresses of IPv6 work in
//     ACLs, also from there. The scheme x509 is always known, sasl never.
//   - A limit or stats node of a quota that is no list of numbers counts as having none;
//     ZooKeeper stops at it.
//   - Which transactions take a zxid: see Apply.
//
// ctime, mtime and what TTL nodes are judged by are wall clocks, each of the leader at that
// time, as in ZooKeeper: a TTL node goes early when a leader's clock jumps ahead, and late when
// it was written under one that ran ahead. Nothing else here knows the time: sessions end when
// the leader says so, which counts by a clock that does not jump (quorum/node).
//
// Invariants, all of which the tests work out anew from the nodes:
//
//   - zxid never goes back, and no two transactions that changed something share one.
//   - Digest is a function of all that Encode writes but the time.
//   - A node that a session owns is in that session's list, and the session is alive; a
//     container or TTL node is in the list that Reapable goes through.
//   - quotas has exactly the paths with a zookeeper_limits node.
//   - An ACL list is there once, and counts its nodes.
//
// A node is a packed record (record.go has its layout) in pages without pointers (package
// internal/arena has theirs, and says why little of them is wasted); the code unpacks it into a
// node, changes that, and stores it. Nodes are known by numbers. What is too large for a record
// is a blob, what has many children a directory, each with an allocation of its own.
//
// One goroutine at a time may call Apply, and nobody may read meanwhile: package node holds a
// read-write lock around both. ACLs, strings and lists that reads return may be used after the
// lock is gone (they are replaced, never written to). Data may not: it is a part of a page that
// Apply writes over. Who keeps it copies it.
package tree
