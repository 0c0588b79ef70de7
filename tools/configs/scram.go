package configs

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/tools/cli"
)

// Kafka's bounds: fewer iterations than minIterations are refused.
const minIterations = 4096

func isScram(key string) bool { return mechanism(key) != 0 }

// mechanism is 0 for what is none.
func mechanism(key string) kadm.ScramMechanism {
	switch key {
	case "SCRAM-SHA-256":
		return kadm.ScramSha256
	case "SCRAM-SHA-512":
		return kadm.ScramSha512
	}
	return 0
}

var credential = regexp.MustCompile(`^(?:iterations=(-?[0-9]*),)?password=(.*)$`)

// alterCredentials sets and removes passwords of one user. Only salted passwords travel.
func (r *runner) alterCredentials(ctx context.Context, user string, add settings, remove []string) error {
	var deletions []kadm.DeleteSCRAM
	for _, key := range remove {
		deletions = append(deletions, kadm.DeleteSCRAM{User: user, Mechanism: mechanism(key)})
	}
	var upserts []kadm.UpsertSCRAM
	for _, key := range add.names() {
		m := credential.FindStringSubmatch(strings.TrimSpace(add[key]))
		if m == nil {
			return refuse("Invalid credential property %s: it must be %s=[iterations=N,password=...]", key, key)
		}
		iterations := minIterations
		if m[1] != "" && m[1] != "-1" {
			n, err := strconv.Atoi(m[1])
			if err != nil || n < minIterations {
				return refuse("Iterations %s is less than the minimum %d required for %s", m[1], minIterations, key)
			}
			iterations = n
		}
		upserts = append(upserts, kadm.UpsertSCRAM{User: user, Mechanism: mechanism(key), Iterations: int32(iterations), Password: m[2]})
	}
	answers, err := r.admin.AlterUserSCRAMs(ctx, deletions, upserts)
	if err != nil {
		return err
	}
	for _, a := range answers {
		if a.Err != nil {
			return &cli.BrokerError{Code: a.Err, Message: orText(a.ErrMessage, a.Err)}
		}
	}
	return nil
}
