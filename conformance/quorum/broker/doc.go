// Package broker runs the project's broker with its metadata in an ensemble that
// zookeeper.connect names: Debian's Apache ZooKeeper, and the project's own.
package broker
