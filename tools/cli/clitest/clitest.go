// Package clitest runs a tool as a user would, for the tests of the tools. The cluster
// they talk to is franz-go's kfake: a Kafka that is not ours.
package clitest

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/millrace/millrace/tools/cli"
)

// Result is what a user sees of a run.
type Result struct {
	Out, Err string
	Code     int
}

// Run executes cmd with the words of line and the given input.
func Run(ctx context.Context, cmd *cobra.Command, input string, words ...string) Result {
	var out, errs bytes.Buffer
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(cli.NormalizeFor(cmd, words))
	ran, err := cmd.ExecuteContextC(ctx)
	code := cli.Report(ran, err)
	return Result{Out: out.String(), Err: errs.String(), Code: code}
}

// Cluster starts a fake Kafka for the test and returns its bootstrap list.
func Cluster(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, string) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, strings.Join(c.ListenAddrs(), ",")
}
