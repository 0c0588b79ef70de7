// Package groups puts consumers of clients that others wrote into groups and makes them
// rebalance while records are produced: members are killed and come back, the broker is
// restarted under them. Each member is a process of its own (kill -9 is one), reads records,
// reports them, and only then commits. Package wire watches what is said to the broker.
//
// Members in Go are this package's test binary, started again; the others are programs in
// drivers/. All read their orders as one line of JSON, report as lines of JSON, and leave
// their group when their standard input ends.
package groups
