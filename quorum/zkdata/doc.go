// Package zkdata reads what an Apache ZooKeeper server left on its disk, the newest good
// snapshot and the transaction logs after it, and makes a tree.State of it. It understands
// the directories of the versions 3.4 to 3.9, compressed snapshots too, and writes nothing.
//
// ZooKeeper takes a snapshot while it goes on writing, so a snapshot holds a part of what the
// log has again. Its logs therefore say what became of a request (the path that a sequential
// node got, the version after a change), and replaying one twice does no harm. This package
// replays them by the rules of DataTree.processTxn, on a table of its own; the rules of
// requests in package tree have no part in it.
//
// Every record has an Adler-32 checksum. A log may end in the middle of a record: that is what
// a crash leaves, and the record was never acknowledged. A checksum that is wrong is damage,
// and an error that names the file and the place. Where the server wrote digests of its tree
// (3.6 and later), the last one is compared with the tree that was read.
//
// Who calls: millrace quorum import, on the machine that will be a server.
package zkdata
