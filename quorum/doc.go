// Package quorum puts one server of the quorum together: its log and snapshots (raftlog), the
// member (node), the client ports (server) and the HTTP server for commands, from a zoo.cfg or
// for a quorum of one inside another process. It starts and ends the parts in the order in
// which they need each other, and names the key to change when a port or a folder is not to be
// had.
//
// The server keeps its data in folders of its own (zoocfg.Folder) in dataDir and dataLogDir.
// Those of Apache ZooKeeper beside it (version-2) are not read and not touched; a server that
// would start empty beside them refuses to.
//
// Start may be called by cmd and by whoever embeds a quorum; everything that a Quorum holds
// may be used by several goroutines at once, until Close.
package quorum
