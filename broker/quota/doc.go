// Package quota measures what clients use and tells how long they should be silent. The
// rules are Kafka's (ClientQuotaManager, ConnectionQuotas, Rate, TokenBucket), so that a
// quota means here what it means there:
//
//   - A quota is looked up for each kind by itself, the first of: user and client id, user
//     and any client id, user, any user and client id, any user and any client id, any
//     user, client id, any client id.
//   - Who is measured together follows from where it was found: all clients of a user, all
//     users of a client id, or the pair. A default counts for each name apart.
//   - A rate is the sum over the last quota.window.num windows by their length, where
//     windows that were not yet lived through count as whole. Above the quota a client is
//     silent for as long as brings the rate back to it.
//   - Requests that change the cluster draw tokens from a bucket of as many windows.
//
// Manager is what the broker talks to. Table is an immutable reading of the quotas in the
// metadata; while there are none it is nil, and nothing is measured. A Client is one
// (user, client id) in a Table, resolved once and kept by its connections, so that a
// request costs an atomic load and the lock of the meter that it is counted on. Rate and
// bucket are pure: time comes in milliseconds from the caller.
//
// Locks: Manager.mu guards the map of meters; Meter.mu one measurement. Manager.mu is
// held while Meter.mu is taken (to forget old ones); never the other way round.
package quota
