package suite

import (
	"bytes"
	"strings"
	"testing"
)

// execute runs the command and returns what it printed.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := Command("suite")
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestList(t *testing.T) {
	short, err := execute(t, "--list", "--short")
	if err != nil {
		t.Fatal(err)
	}
	full, err := execute(t, "--list")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(short, latencyName) || !strings.Contains(full, "kept 30 GB: fetch") || strings.Contains(short, "kept 30 GB") {
		t.Errorf("short:\n%s\nfull:\n%s", short, full)
	}
	less, err := execute(t, "--list", "--run", "^kept", "--max-kept-gb", "3")
	if err != nil || strings.Contains(less, "kept 10 GB") || !strings.Contains(less, "kept 3 GB") {
		t.Errorf("--max-kept-gb 3: %v\n%s", err, less)
	}
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--run", "nothing at all"}, "--list shows them"},
		{[]string{"--run", "^kept", "--max-kept-gb", "0"}, "--max-kept-gb"},
		{[]string{"--pid", "1"}, "--bootstrap-server"},
		{[]string{"--bootstrap-server", "x:1", "--override", "a=b"}, "leave --bootstrap-server out"},
		{[]string{"--flame", "x.svg"}, "want one scenario"},
		{[]string{"--run", "^idle p1000$", "--flame", "x.svg", "--profile", "soup"}, "soup"},
		{[]string{"--override", "a"}, "KEY=VALUE"},
		{[]string{"--rounds", "-1"}, "--rounds -1"},
		{[]string{"word"}, "unexpected argument"},
	} {
		if out, err := execute(t, c.args...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q\n%s", c.args, err, c.want, out)
		}
	}
}

func TestScenariosComplete(t *testing.T) {
	got, _ := CompleteScenarios(nil, nil, "fan-out")
	if len(got) < 4 || !strings.Contains(strings.Join(got, "\n"), "fan-out 1MiB x50\t") {
		t.Errorf("%q", got)
	}
}

// Somebody's broker is not filled, and not read cold, without being asked for.
func TestARunningBrokerIsSpared(t *testing.T) {
	out, err := execute(t, "--list", "--bootstrap-server", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"kept 1 GB", "partitions x10000", "fetch 1MiB p1 cold "} {
		if strings.Contains(out, "\n"+s) {
			t.Errorf("%q is run without being asked for", s)
		}
	}
	if !strings.Contains(out, "needs --data-dir") || !strings.Contains(out, "\npartitions x1000 ") {
		t.Errorf("list:\n%s", out)
	}
	asked, err := execute(t, "--list", "--bootstrap-server", "127.0.0.1:1", "--max-kept-gb", "1", "--data-dir", "x")
	if err != nil || !strings.Contains(asked, "\nkept 1 GB") || !strings.Contains(asked, "\nfetch 1MiB p1 cold ") {
		t.Errorf("%v, list:\n%s", err, asked)
	}
}
