// Package proxy puts a network that can fail between the servers of an ensemble, which are
// real processes, and between them and their clients. Its test lets an ensemble of `millrace
// quorum` live through cut, deaf, slow and broken links, a leader that is killed and one that
// is stopped for longer than a session lasts, a server that comes back with an empty disk, and
// compares what clients of go-zookeeper/zk were told with what is there. Half of the
// ensembles, by their seed, encrypt what their servers say to each other.
//
// A Net knows hosts by numbers only. What it does to bytes depends on where they come from and
// where they go, whoever dialed, so a link can fail one way. It never invents, loses or
// reorders a byte of a connection: as in TCP, a connection that breaks may have carried any
// part of what was written to it.
package proxy
