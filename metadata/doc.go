// Package metadata holds the cluster's state: a tree of small versioned nodes with
// ZooKeeper's semantics and Kafka's paths, and a typed image of it.
//
// Three things live here, each on top of the one before:
//
//   - Store is the tree: reads, atomic multis with version checks, ephemerals bound to a
//     session, and one ordered stream of changes. TreeStore is one in the process of a server
//     of the quorum, ZKStore one over ZooKeeper's client protocol.
//   - Image is an immutable typed view of the tree at one zxid: topics, partitions,
//     brokers, configurations.
//   - Loader folds the stream of a Store into Images and hands each to its Publishers in
//     order.
//
// Who calls what: the controller writes to a Store; the broker's handlers read
// Loader.Image; replication.Manager and the configuration are Publishers. A Publisher
// runs on the Loader's goroutine: it neither blocks nor writes to the Store from there.
//
// Invariants: zxids grow, and what was told with one is never told again; what a reader sees
// is durable; the stream has everything that changed, in order. How finely it tells differs:
// a TreeStore's has every transaction by itself, a ZKStore's may tell several as one.
//
// Others write to the tree too, tools of older Kafkas and people among them. What cannot be
// read counts as unchanged; a topic keeps its id and its partitions whatever is written to
// its node; and a tree that suddenly is another cluster's, or empty, is not followed, since
// every log would be deleted.
//
// The paths and their JSON are Kafka's (core/kafka/zk/ZkData.scala in 3.9), so that tools
// that read Kafka's tree can read ours.
//
// ImportFile takes over the file that held the tree of a broker before there was a quorum.
package metadata
