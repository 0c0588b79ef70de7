// Package metadata holds the cluster's state: a tree of small versioned nodes with
// ZooKeeper's semantics and Kafka's paths, and a typed image of it.
//
// Three things live here, each on top of the one before:
//
//   - Store is the tree: reads, atomic multis with version checks, ephemerals bound to a
//     session, and one ordered stream of changes. FileStore keeps it in memory and in one
//     file that is replaced atomically; other implementations may speak to an ensemble.
//   - Image is an immutable typed view of the tree at one zxid: topics, partitions,
//     brokers, configurations.
//   - Loader folds the stream of a Store into Images and hands each to its Publishers in
//     order.
//
// Who calls what: the controller writes to a Store; the broker's handlers read
// Loader.Image; replication.Manager and the configuration are Publishers. A Publisher
// runs on the Loader's goroutine: it neither blocks nor writes to the Store from there.
//
// Invariants: a transaction gets the next zxid or changes nothing; what a reader sees is
// durable; the stream has every transaction once, in zxid order; equal zxids mean equal
// trees.
//
// The paths and their JSON are Kafka's (core/kafka/zk/ZkData.scala in 3.9), so that tools
// that read Kafka's tree can read ours.
package metadata
