package reassign

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace/tools/cli"
)

// anyDir leaves the choice of the log directory to the broker.
const anyDir = "any"

// placement says on which brokers partitions lie, the preferred one first.
type placement map[cli.Partition][]int32

func (p placement) sorted() []cli.Partition {
	return slices.SortedFunc(maps.Keys(p), cli.ComparePartitions)
}

// replica is one copy of a partition.
type replica struct {
	cli.Partition
	broker int32
}

func (r replica) String() string { return fmt.Sprintf("%s-%d", r.Partition, r.broker) }

func compareReplicas(a, b replica) int {
	return cmp.Or(cmp.Compare(a.broker, b.broker), cli.ComparePartitions(a.Partition, b.Partition))
}

// plan is what a reassignment file says: where partitions go, and into which directories
// some of their replicas.
type plan struct {
	order []cli.Partition // as in the file; may hold one twice until check
	parts placement
	dirs  map[replica]string
	twice []cli.Partition
}

// The files, with Kafka's names.
type (
	planFile struct {
		Version    *int            `json:"version"`
		Partitions []planPartition `json:"partitions"`
	}
	planPartition struct {
		Topic     *string  `json:"topic"`
		Partition *int32   `json:"partition"`
		Replicas  *[]int32 `json:"replicas"`
		LogDirs   []string `json:"log_dirs"`
	}
	printedPlan struct {
		Version    int                `json:"version"`
		Partitions []printedPartition `json:"partitions"`
	}
	printedPartition struct {
		Topic     string   `json:"topic"`
		Partition int32    `json:"partition"`
		Replicas  []int32  `json:"replicas"`
		LogDirs   []string `json:"log_dirs"`
	}
)

func parsePlan(text string) (*plan, error) {
	var file planFile
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return nil, fmt.Errorf("the reassignment file is not valid JSON: %w", err)
	}
	if file.Version != nil && *file.Version != 1 {
		return nil, fmt.Errorf("Not supported version field value %d", *file.Version)
	}
	p := &plan{parts: placement{}, dirs: map[replica]string{}}
	for i, e := range file.Partitions {
		if e.Topic == nil || e.Partition == nil || e.Replicas == nil {
			return nil, fmt.Errorf("element %d of \"partitions\" must have \"topic\", \"partition\" and \"replicas\"", i)
		}
		at := cli.Partition{Topic: *e.Topic, Index: *e.Partition}
		if e.LogDirs != nil && len(e.LogDirs) != len(*e.Replicas) {
			return nil, fmt.Errorf("Size of replicas list [%s] is different from size of log dirs list [%s] for partition %s",
				cli.JoinIDs(*e.Replicas, ", "), strings.Join(e.LogDirs, ", "), at)
		}
		if _, seen := p.parts[at]; seen {
			p.twice = append(p.twice, at)
		}
		p.parts[at] = *e.Replicas
		p.order = append(p.order, at)
		for j, dir := range e.LogDirs {
			if dir != anyDir {
				p.dirs[replica{at, (*e.Replicas)[j]}] = dir
			}
		}
	}
	return p, nil
}

// check refuses plans that cannot be carried out.
func (p *plan) check() error {
	if len(p.order) == 0 {
		return fmt.Errorf("Partition reassignment list cannot be empty")
	}
	if len(p.twice) > 0 {
		return fmt.Errorf("Partition reassignment contains duplicate topic partitions: %s", cli.JoinPartitions(p.twice, ","))
	}
	var twice []string
	for _, at := range p.order {
		if len(p.parts[at]) == 0 {
			return fmt.Errorf("Partition replica list cannot be empty")
		}
		if d := duplicates(p.parts[at]); len(d) > 0 {
			twice = append(twice, fmt.Sprintf("%s contains multiple entries for %s", at, cli.JoinIDs(d, ",")))
		}
	}
	if len(twice) > 0 {
		return fmt.Errorf("Partition replica lists may not contain duplicate entries: %s", strings.Join(twice, ". "))
	}
	return nil
}

// duplicates returns what stands more than once in list, each once.
func duplicates[T comparable](list []T) []T {
	seen := map[T]int{}
	var out []T
	for _, v := range list {
		if seen[v]++; seen[v] == 2 {
			out = append(out, v)
		}
	}
	return out
}

// printPlan writes a placement as a file that this tool reads.
func printPlan(p placement) string {
	out := printedPlan{Version: 1, Partitions: []printedPartition{}}
	for _, at := range p.sorted() {
		dirs := make([]string, len(p[at]))
		for i := range dirs {
			dirs[i] = anyDir
		}
		out.Partitions = append(out.Partitions, printedPartition{at.Topic, at.Index, p[at], dirs})
	}
	text, _ := json.Marshal(out) // strings and numbers: it cannot fail
	return string(text)
}

func parseTopics(text string) ([]string, error) {
	var file struct {
		Version *int `json:"version"`
		Topics  []struct {
			Topic *string `json:"topic"`
		} `json:"topics"`
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return nil, fmt.Errorf("The input string is not a valid JSON: %w", err)
	}
	if file.Version != nil && *file.Version != 1 {
		return nil, fmt.Errorf("Not supported version field value %d", *file.Version)
	}
	var out []string
	for i, t := range file.Topics {
		if t.Topic == nil {
			return nil, fmt.Errorf("element %d of \"topics\" has no \"topic\"", i)
		}
		out = append(out, *t.Topic)
	}
	if d := duplicates(out); len(d) > 0 {
		return nil, fmt.Errorf("List of topics to reassign contains duplicate entries: [%s]", strings.Join(d, ", "))
	}
	return out, nil
}
