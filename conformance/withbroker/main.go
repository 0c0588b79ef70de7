// Command withbroker starts a broker for another command and ends it after that:
//
//	withbroker [-config KEY=VALUE]... -- COMMAND ARGS...
//
// The command finds the broker's address in BOOTSTRAP and in KGO_SEEDS, which is where
// franz-go's own tests look. Its exit code is the command's; the end of the broker's log is
// shown when that is not 0.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/millrace/millrace/conformance/harness"
)

func main() {
	config := map[string]string{}
	flag.Func("config", "a line of server.properties, KEY=VALUE; may be repeated", func(s string) error {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want KEY=VALUE")
		}
		config[k] = v
		return nil
	})
	flag.Parse()
	code, err := run(config, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "withbroker:", err)
	}
	os.Exit(code)
}

func run(config map[string]string, argv []string) (int, error) {
	if len(argv) == 0 {
		return 2, errors.New("which command?")
	}
	b, err := harness.Launch(harness.Options{Config: config})
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "BOOTSTRAP="+b.Bootstrap(), "KGO_SEEDS="+b.Bootstrap())
	err = cmd.Run()
	code := 0
	if err != nil {
		code = 1
		fmt.Fprintf(os.Stderr, "the end of the broker's log:\n%s", b.Log())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	return code, errors.Join(err, b.Close())
}
