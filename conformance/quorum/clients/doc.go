// Package clients lets clients that others wrote use the servers: kazoo with all of its
// recipes, ZooKeeper's own shell, its C client, and go-zookeeper. A test runs on a server or
// an ensemble of the project; ORACLE=1 lets all of them run on Debian's Apache ZooKeeper
// instead, which is how it was seen that they are right.
package clients
