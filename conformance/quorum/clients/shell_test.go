package clients

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit/zkserver"
)

// script is typed into ZooKeeper's own shell.
const script = `create /t hello
get /t
set /t world
get -s /t
get -w /t
create -e /t/e x
create -s /t/s- x
create -s -e /t/se- x
create -c /t/container
create -t 100000 /t/ttl x
ls /t
ls -s /t
ls -R /t
stat /t
stat /t/e
create /t dup
create /none/child x
delete /t
delete -v 9 /t/e
set -v 7 /t x
get /none
getAcl /t
setAcl /t/e world:anyone:r
set /t/e no
getAcl -s /t/e
addauth digest alice:secret
create /t/a x auth::cdrwa
getAcl /t/a
create /t/d x digest:bob:hash:cdrwa
get /t/d
sync /t
getEphemerals
getEphemerals /t/s
getAllChildrenNumber /t
addWatch -m PERSISTENT /t
create /t/w x
delete /t/w
removewatches /t
setquota -n 20 /t
listquota /t
delquota -n /t
create "/t/a b" "two words"
get "/t/a b"
create /bad//path x
set /t tock
version
delete /t/d
addauth digest super:test
deleteall /t
ls /
quit
`

var (
	zxids   = regexp.MustCompile(`(Zxid = )0x[0-9a-f]+`)
	times   = regexp.MustCompile(`(time = ).*`)
	owners  = regexp.MustCompile(`(ephemeralOwner = 0x)[1-9a-f][0-9a-f]*`)
	connect = regexp.MustCompile(`(Connecting to ).*`)
)

// TestShell types a script into Debian's zkCli.sh, connected to the oracle and to the
// project's server: it must print the same.
func TestShell(t *testing.T) {
	t.Parallel()
	needFile(t, zkserver.Scripts+"/zkCli.sh", "zookeeper")
	e := launch(t, zkserver.Options{})
	oracle := zkserver.Launch(t, zkserver.Options{})
	want, wantErr := shell(t, oracle)
	got, gotErr := shell(t, e)
	for _, pair := range [][2]string{{want, got}, {wantErr, gotErr}} {
		a, b := strings.Split(pair[0], "\n"), strings.Split(pair[1], "\n")
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				t.Errorf("line %d differs\nwant:\n%s\ngot:\n%s", i, strings.Join(a[max(0, i-3):min(i+3, len(a))], "\n"), strings.Join(b[max(0, i-3):min(i+3, len(b))], "\n"))
				break
			}
		}
	}
	if strings.Count(want, "\n") < 100 {
		t.Errorf("the script was not run:\n%s\n%s", want, wantErr)
	}
}

func shell(t *testing.T, e *zkserver.Ensemble) (stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, zkserver.Scripts+"/zkCli.sh", "-server", e.Servers[0].Addr())
	cmd.Stdin = strings.NewReader(script)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("zkCli.sh: %v", err)
	}
	plain := func(s string) string {
		s = zxids.ReplaceAllString(s, "${1}Z")
		s = times.ReplaceAllString(s, "${1}T")
		s = owners.ReplaceAllString(s, "${1}S")
		return connect.ReplaceAllString(s, "$1")
	}
	// Lines that a logger prints have a time of their own.
	var said []string
	for line := range strings.Lines(errs.String()) {
		if !strings.HasPrefix(line, "SLF4J") && !strings.Contains(line, " - ") {
			said = append(said, line)
		}
	}
	return plain(out.String()), plain(strings.Join(said, ""))
}
