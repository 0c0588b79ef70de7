// Package broker answers Kafka's clients: listeners, connections, one handler file for
// each API (named by its key), fetch sessions, metrics and the admin port.
//
// # Who does what
//
//	listener   accepts, bounds the number of connections
//	conn       (subpackage) frames in, replies out in order, memory, backpressure
//	session    who is speaking; header, table of endpoints, size limits
//	NN_name    one API: decode, ask Authorizer and Quota, act, encode
//	errors     the one table from typed errors to codes of the protocol
//
// Handlers translate; they decide nothing about a log. They reach it only through
// replication.Partition, the cluster's state through a metadata.Image, and changes of it
// through controller.Controller.
//
// # Goroutines
//
// One for each listener, one for each connection (its reader, see package conn), one for
// the sweeper's timer while it runs, and short ones that write replies which another
// goroutine completed. A parked fetch or produce has none.
//
// # Limits
//
// Connections: max.connections, max.connections.per.ip. Requests: by API
// (protocol.RequestLimit) up to socket.request.max.bytes. Memory of requests:
// queued.max.request.bytes. Open requests of a connection: conn.DefaultMaxInFlight. Fetch
// sessions: max.incremental.fetch.session.cache.slots. A response: fetch.max.bytes.
package broker
