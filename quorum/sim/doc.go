// Package sim runs an ensemble and its clients in one process under testing/synctest: servers on
// disks that lose power, a network that is cut, clients of quorum/client on other hosts, faults
// by a seed. What the clients saw and what the servers applied is then judged:
//
//   - Truth: all servers applied the same transactions and had the same state after each.
//   - Linear: writes, and reads behind a sync, are linearizable (porcupine).
//   - Reads: a reply shows the state as of its zxid, and a client's zxids never go back.
//   - Writes: what was acknowledged is there, once; what was refused is not; what has an unknown
//     outcome is there once or never, and not after the session's next reply.
//   - Watches: an event comes before any reply that shows the change, once, none is lost and
//     none is invented.
//   - Sessions: ephemerals go with their session and not before; nobody expires whose pings were
//     answered; who is gone expires. Whatever wall clocks do: each host has one of its own, which
//     jumps.
//   - Times: those of a node are what a server's wall clock showed.
//
// Only tests import it. A run is repeated by its seed as far as the run time's scheduler allows:
// faults come at the same times, goroutines may take turns otherwise.
package sim
