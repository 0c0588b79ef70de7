// Package zoocfg reads ZooKeeper's configuration: zoo.cfg, the dynamic file beside it, myid,
// and the -D words of SERVER_JVMFLAGS and JVMFLAGS. Load makes a Config of them, or says
// everything that is wrong at once, each with file and line, key, value, what is allowed
// and the way out.
//
// Every key that ZooKeeper 3.8 reads (QuorumPeerConfig, its system properties, and the names
// that its administrator's guide gives them) stands in the catalogue once: either it acts, or
// setting it gives a warning that says why it does not. A key that would make the ensemble
// less safe than its owner thinks, were it ignored, is refused when it is switched on. An
// unknown key is a warning with a suggestion.
//
// A key in the file may be written with "zookeeper." before it or without. ZooKeeper turns
// keys of the file into system properties, so the file wins over -D. Where this differs from
// ZooKeeper: jute.maxbuffer and the other keys that it reads as properties only can stand in
// the file too; purging is on unless autopurge.purgeInterval=0 says otherwise; the admin
// server listens on loopback unless admin.serverAddress says otherwise; and six four-letter
// words are allowed by default, not srvr alone.
//
// A Config is not changed after Load; the package has no goroutine and keeps nothing.
//
//go:generate go test -run TestDocumentation -update .
package zoocfg
