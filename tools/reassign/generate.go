package reassign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/tools/cli"
)

// server is a broker that may hold replicas; rack "" is none.
type server struct {
	id   int32
	rack string
}

// generate prints how partitions lie, and how they could.
func (r *runner) generate(ctx context.Context, text string) error {
	ids, err := parseBrokers(r.o.brokerList)
	if err != nil {
		return err
	}
	names, err := parseTopics(text)
	if err != nil {
		return err
	}
	now, err := r.placementOf(ctx, names)
	if err != nil {
		return err
	}
	servers, err := r.servers(ctx, ids)
	if err != nil {
		return err
	}
	proposed := placement{}
	byTopic := map[string][]cli.Partition{}
	for _, at := range now.sorted() {
		byTopic[at.Topic] = append(byTopic[at.Topic], at)
	}
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		lists, err := assign(servers, len(byTopic[topic]), len(now[byTopic[topic][0]]), r.random(max(len(servers), 1)), r.random(max(len(servers), 1)))
		if err != nil {
			return err
		}
		for i, list := range lists {
			proposed[cli.Partition{Topic: topic, Index: int32(i)}] = list
		}
	}
	fmt.Fprintf(r.out, "Current partition replica assignment\n%s\n\nProposed partition reassignment configuration\n%s\n", printPlan(now), printPlan(proposed))
	return nil
}

func parseBrokers(list string) ([]int32, error) {
	var ids []int32
	for _, w := range strings.Split(list, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(w), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("For input string: \"%s\" (in --broker-list)", w)
		}
		ids = append(ids, int32(n))
	}
	if d := duplicates(ids); len(d) > 0 {
		return nil, fmt.Errorf("Broker list contains duplicate entries: [%s]", cli.JoinIDs(d, ", "))
	}
	return ids, nil
}

// placementOf returns how the partitions of topics lie.
func (r *runner) placementOf(ctx context.Context, names []string) (placement, error) {
	if len(names) == 0 {
		return placement{}, nil
	}
	topics, err := r.admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, err
	}
	out := placement{}
	for _, name := range names {
		t, ok := topics[name]
		switch {
		case !ok, errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			return nil, fmt.Errorf("Topic %s not found.", name)
		case t.Err != nil:
			return nil, t.Err
		}
		for _, p := range t.Partitions {
			out[cli.Partition{Topic: name, Index: p.Partition}] = p.Replicas
		}
	}
	return out, nil
}

// servers returns the brokers of ids that are there.
func (r *runner) servers(ctx context.Context, ids []int32) ([]server, error) {
	list, err := r.admin.ListBrokers(ctx)
	if err != nil {
		return nil, err
	}
	var out []server
	rackless := 0
	for _, b := range list {
		if !slices.Contains(ids, b.NodeID) {
			continue
		}
		s := server{id: b.NodeID}
		if b.Rack != nil && !r.o.disableRackAware {
			s.rack = *b.Rack
		}
		if s.rack == "" {
			rackless++
		}
		out = append(out, s)
	}
	if !r.o.disableRackAware && rackless != 0 && rackless != len(out) {
		return nil, errors.New("Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment without rack information.")
	}
	slices.SortFunc(out, func(a, b server) int { return int(a.id - b.id) })
	return out, nil
}

// assign spreads the replicas of partitions 0 to n-1 by Kafka's rule (AdminUtils): leaders
// go round the brokers from start on; followers stand shift further, one more each time
// that all brokers had their turn; and a rack gets a second replica only when every rack
// has one.
func assign(servers []server, partitions, factor, start, shift int) ([][]int32, error) {
	if factor > len(servers) {
		return nil, fmt.Errorf("Replication factor: %d larger than available brokers: %d.", factor, len(servers))
	}
	ring, racks := alternate(servers)
	n := len(ring)
	var out [][]int32
	for p := range partitions {
		if p > 0 && p%n == 0 {
			shift++
		}
		first := (p + start) % n
		list := []int32{ring[first].id}
		used := map[string]bool{ring[first].rack: true}
		for k := 0; len(list) < factor; k++ {
			next := ring[(first+1+(shift*racks+k)%(n-1))%n]
			if !slices.Contains(list, next.id) && (!used[next.rack] || len(used) == racks) {
				list = append(list, next.id)
				used[next.rack] = true
			}
		}
		out = append(out, list)
	}
	return out, nil
}

// alternate orders brokers so that neighbours are of different racks: the first of each
// rack, the second of each, and so on. Without racks there is one.
func alternate(servers []server) (ring []server, racks int) {
	byRack := map[string][]server{}
	for _, s := range servers {
		byRack[s.rack] = append(byRack[s.rack], s)
	}
	names := slices.Sorted(maps.Keys(byRack))
	for i := 0; len(ring) < len(servers); i++ {
		for _, name := range names {
			if i < len(byRack[name]) {
				ring = append(ring, byRack[name][i])
			}
		}
	}
	return ring, len(names)
}
