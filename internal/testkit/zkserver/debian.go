package zkserver

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Where Debian's packages zookeeper and libzookeeper-java put what is needed.
const (
	javaLibraries = "/usr/share/java"
	mainClass     = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
	// Scripts is the folder of zkServer.sh and zkCli.sh.
	Scripts = "/usr/share/zookeeper/bin"
)

// classPath is ZooKeeper, which names what it needs in its manifest, the servlet classes
// that its admin server lacks there, and a logger that prints to the standard error.
var classPath = strings.Join([]string{
	javaLibraries + "/zookeeper.jar",
	javaLibraries + "/servlet-api.jar",
	javaLibraries + "/slf4j-simple.jar",
}, ":")

// Missing names what this machine lacks to run Debian's ZooKeeper; empty: nothing.
func Missing() string {
	if _, err := exec.LookPath("java"); err != nil {
		return "java"
	}
	for _, path := range strings.Split(classPath, ":") {
		if _, err := os.Stat(path); err != nil {
			return path
		}
	}
	return ""
}

// Need skips the test where Debian's ZooKeeper is not installed.
func Need(t testing.TB) {
	t.Helper()
	NeedAll(t, Missing(), "zookeeper")
}

// NeedAll skips the test when something is missing that the Debian packages named would
// bring, or fails it if ZOOKEEPER_REQUIRED says that it may not be skipped.
func NeedAll(t testing.TB, missing, packages string) {
	t.Helper()
	switch {
	case missing == "":
	case os.Getenv("ZOOKEEPER_REQUIRED") != "":
		t.Fatalf("%s is missing: apt-get install %s", missing, packages)
	default:
		t.Skipf("%s is missing: apt-get install %s", missing, packages)
	}
}

// debianCommand runs a server in the foreground, tuned for a quick start and little memory.
func debianCommand(flags []string) []string {
	argv := []string{
		"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData", "-Xmx400m",
		"-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
		"-Dzookeeper.forceSync=no",
	}
	return append(append(argv, flags...), "-cp", classPath, mainClass)
}
