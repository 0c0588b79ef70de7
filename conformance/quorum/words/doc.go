// Package words compares what operators and monitors read: the four-letter words and the
// admin server's commands of Debian's Apache ZooKeeper with those of the project's server.
package words
