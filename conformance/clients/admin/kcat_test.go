package admin

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// TestKcatList reads what kcat -L shows of a cluster, in both of its forms.
func TestKcatList(t *testing.T) {
	topic := filled(t, 3, 0)
	text, err := exec.CommandContext(bounded(t), "kcat", "-b", bootstrap, "-L").CombinedOutput()
	must(t, err, "kcat -L: %s", text)
	for _, want := range []string{" 1 brokers:", `topic "` + topic + `" with 3 partitions:`, "(controller)"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("kcat -L does not show %q:\n%s", want, text)
		}
	}
	text, err = exec.CommandContext(bounded(t), "kcat", "-b", bootstrap, "-L", "-J", "-t", topic).Output()
	must(t, err, "kcat -L -J")
	var listing struct {
		Topics []struct {
			Topic      string
			Partitions []struct {
				Partition, Leader int
				ISRs              []struct{ ID int }
			}
		}
	}
	must(t, json.Unmarshal(text, &listing), "read %s", text)
	equal(t, "topics", len(listing.Topics), 1)
	equal(t, "partitions", len(listing.Topics[0].Partitions), 3)
	for _, p := range listing.Topics[0].Partitions {
		equal(t, "in-sync replicas", len(p.ISRs), 1)
		equal(t, "leader", p.Leader, p.ISRs[0].ID)
	}
}
