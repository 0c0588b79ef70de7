// Package consumer is the state of a consumer group of the new protocol (KIP-848), and the
// rules by which it changes. It is pure: no goroutine, clock, lock or I/O.
//
// # How it is driven
//
// A step (Heartbeat, Expire, Remove, ...) looks at the group and returns a Change: the
// records that have to be written. It changes nothing that is kept. Once the records are in
// the log, Apply makes the change in memory, by the same code that replays the log at the
// start. So what is in memory is what the log says, and a write that failed never happened.
// A second step may only follow when the first one's Change was applied or given up.
//
// # The rules
//
// The group has an epoch, which rises when members, subscriptions or topics change. For each
// epoch that a member shows itself in, an assignor makes a target assignment, whose epoch is
// the target epoch (target <= group epoch). Each member has an epoch and moves to the target
// epoch by itself, heartbeat after heartbeat (reconcile): it gives up first what it must,
// and is then given what is free.
//
// Invariants:
//
//   - A partition has at most one owner. The owner of a partition is the member that has it
//     assigned or has not yet confirmed to have given it up; nobody is given what another
//     member owns.
//   - A member's epoch is at most the target epoch. It is -2 for a static member that is away.
//   - A target assignment gives each partition to one member.
//
// Behaviour follows Apache Kafka's group coordinator (org.apache.kafka.coordinator.group.modern
// and GroupMetadataManager). Where Kafka resolves regular expressions aside, here a step does
// it: the expressions are RE2's, which take linear time, and are bounded in size.
//
// Only coordinator/group calls it, one call at a time for each group.
package consumer
