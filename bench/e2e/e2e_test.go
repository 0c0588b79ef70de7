package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/testkit"
	"github.com/millrace/millrace/tools/cli/clitest"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestTry(t *testing.T) {
	_, addr := clitest.Cluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r := clitest.Run(ctx, Script("kafka-e2e-latency.sh"), "", addr, "t", "2500", "1", "100")
	t.Logf("%+v", r)
	r = clitest.Run(ctx, Command("bench e2e"), "", "--bootstrap-server", addr, "--topic", "t", "--throughput", "2000", "--num-records", "2000", "--warmup", "300ms")
	t.Logf("%+v", r)
}
