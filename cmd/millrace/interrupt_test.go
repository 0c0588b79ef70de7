package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/tools/cli"
)

// mute is a server that takes connections and says nothing; taken is called for each.
func mute(t *testing.T, taken func()) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var wg sync.WaitGroup
	var conns []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			taken()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// clientPatience is after how long the client library gives up a connection on which nobody
// answers: a tool that waits for that did not see the interrupt.
const clientPatience = 10 * time.Second

// TestInterruptOfATool: Ctrl-C ends a tool that nobody answers at once, with the code of an
// interrupt and without a word about the cluster, of which it knows nothing.
func TestInterruptOfATool(t *testing.T) {
	records := filepath.Join(t.TempDir(), "records.json")
	must(t, os.WriteFile(records, []byte(`{"partitions":[{"topic":"t","partition":0,"offset":1}],"version":1}`), 0o644))
	for _, line := range []string{
		"broker-api-versions --bootstrap-server @",
		"client-metrics --bootstrap-server @ --list",
		"cluster cluster-id --bootstrap-server @",
		"configs --bootstrap-server @ --entity-type topics --entity-name a --describe",
		"configs --bootstrap-server @ --entity-type topics --entity-name a --alter --add-config retention.ms=1",
		"configs --zookeeper @ --entity-type topics --entity-name a --describe",
		"console-consumer --bootstrap-server @ --topic t",
		"console-producer --bootstrap-server @ --topic t",
		"consumer-groups --bootstrap-server @ --list",
		"delete-records --bootstrap-server @ --offset-json-file " + records,
		"doctor --bootstrap-server @",
		"features --bootstrap-server @ describe",
		"get-offsets --bootstrap-server @ --topic t",
		"groups --bootstrap-server @ --list",
		"leader-election --bootstrap-server @ --election-type PREFERRED --all-topic-partitions",
		"log-dirs --bootstrap-server @ --describe",
		"metadata-quorum --bootstrap-server @ describe --status",
		"reassign-partitions --bootstrap-server @ --list",
		"topics --bootstrap-server @ --list",
		"topics --zookeeper @ --list",
		"bench producer --topic t --num-records 10 --record-size 10 --throughput -1 --producer-props bootstrap.servers=@",
		"bench producer --client raw --topic t --num-records 10 --record-size 10 --throughput -1 --producer-props bootstrap.servers=@",
		"bench consumer --topic t --messages 10 --bootstrap-server @",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			address := mute(t, interrupt)
			root := command("millrace")
			var out, problems bytes.Buffer
			root.SetOut(&out)
			root.SetErr(&problems)
			root.SetIn(strings.NewReader("x\n"))
			root.SetArgs(prepare(root, strings.Fields(strings.ReplaceAll(line, "@", address))))
			began := time.Now()
			cmd, err := root.ExecuteContextC(ctx)
			if took := time.Since(began); took >= clientPatience {
				t.Errorf("it took %v", took)
			}
			if code := exitCode(ctx, cmd, err); code != cli.Interrupted {
				t.Errorf("exit code %d: %v", code, err)
			}
			said := out.String() + problems.String()
			for _, always := range []string{"Processed a total of 0 messages\n", "start.time, end.time, "} { // as Kafka's consumers say in any case
				if strings.HasPrefix(said, always) && strings.Count(said, "\n") == 1 {
					said = ""
				}
			}
			if said != "" {
				t.Errorf("it says %q", said)
			}
		})
	}
	if code := exitCode(context.Background(), command("millrace"), errors.New("another error")); code != 1 {
		t.Errorf("an error without an interrupt: exit code %d", code)
	}
}
