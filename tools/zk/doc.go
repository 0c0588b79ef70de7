// Package zk is ZooKeeper's shell, zkCli.sh: the commands, options, output, error texts and
// exit codes of ZooKeeper 3.8's own (ZooKeeperMain and its package cli), on quorum/client. It
// works against any ZooKeeper.
//
// On a terminal it edits lines, completes commands and paths, and keeps a history in a file;
// otherwise it reads commands from its input, without a prompt, as ZooKeeper's does without
// JLine. With a command behind the options it runs that one.
//
// Where it differs, on purpose: "help" and "--help" print the commands; an option that does
// not exist is named, not passed over in silence; a number that is none is an error message,
// not the end of the shell; "get" has -b and -x, as later 3.8 releases; lists whose order
// ZooKeeper leaves open are sorted. A session that made no ephemeral node is closed at the end
// and does not stay until its timeout; one that did is left, as ZooKeeper's shell leaves all
// of them unless told to quit.
package zk
