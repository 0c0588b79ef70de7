// Package suite measures a matrix of scenarios, the machine's floor beside them, and holds
// what came out against the demands of this project on its speed.
//
// Everything that is asked is data: Matrix lists the scenarios (each a drive.Spec and the
// limits.Spec of its floor), goals the demands, the curves are scenarios with an X. session
// runs them: for each scenario a fresh broker (bench/launch) or the one that was named, then
// floor, round, floor, round, floor, so that what drifts on the machine meets both alike. A
// ratio is that of a round to the two samples around it, and the median of the rounds counts.
//
// What was measured is saved after each scenario. A scenario that fails is kept with its
// error; only an interrupt ends the suite early, and loses nothing.
//
// It works against any Kafka broker: what only ours tells (allocations) makes goals unknown,
// not missed. The topic of the suite, millrace-bench, is made and deleted in it.
//
// Called by `millrace bench suite`; bench/compare takes its scenarios and metrics from here.
package suite
