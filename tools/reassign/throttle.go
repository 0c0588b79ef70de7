package reassign

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// The settings that hold moves back.
const (
	leaderRate       = "leader.replication.throttled.rate"
	followerRate     = "follower.replication.throttled.rate"
	dirRate          = "replica.alter.log.dirs.io.max.bytes.per.second"
	leaderReplicas   = "leader.replication.throttled.replicas"
	followerReplicas = "follower.replication.throttled.replicas"
)

// move is who sends a partition and who receives it.
type move struct{ sources, targets []int32 }

// moves joins what moves already with a plan.
func moves(now map[cli.Partition]cli.Moving, proposed, current placement) map[cli.Partition]move {
	out := map[cli.Partition]move{}
	for at, m := range now {
		out[at] = move{without(m.Replicas, m.Adding), m.Adding}
	}
	for at, ids := range proposed {
		sources := current[at]
		if m, busy := out[at]; busy {
			sources = m.sources
		}
		out[at] = move{sources, without(ids, sources)}
	}
	return out
}

func without(ids, gone []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return slices.Contains(gone, id) })
}

// throttledReplicas writes, for each topic, "partition:broker" of one side of the moves.
func throttledReplicas(all map[cli.Partition]move, side func(move) []int32) map[string]string {
	words := map[string][]string{}
	for at, m := range all {
		if words[at.Topic] == nil {
			words[at.Topic] = []string{}
		}
		for _, id := range side(m) {
			words[at.Topic] = append(words[at.Topic], fmt.Sprintf("%d:%d", at.Index, id))
		}
	}
	out := map[string]string{}
	for topic, list := range words {
		slices.Sort(list)
		out[topic] = strings.Join(slices.Compact(list), ",")
	}
	return out
}

// throttle sets the limits that the command line asks for, before anything moves.
func (r *runner) throttle(ctx context.Context, p *plan, now map[cli.Partition]cli.Moving, current placement) error {
	if r.o.throttle < 0 && r.o.dirThrottle < 0 {
		return nil
	}
	fmt.Fprintln(r.out, "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is removed.")
	if r.o.throttle >= 0 {
		all := moves(now, p.parts, current)
		leaders := throttledReplicas(all, func(m move) []int32 { return m.sources })
		followers := throttledReplicas(all, func(m move) []int32 { return m.targets })
		for _, topic := range slices.Sorted(maps.Keys(leaders)) {
			set := map[string]string{leaderReplicas: leaders[topic], followerReplicas: followers[topic]}
			if err := cli.AlterConfigs(ctx, r.client, kmsg.ConfigResourceTypeTopic, topic, set, nil); err != nil {
				return err
			}
		}
		brokers := map[int32]bool{}
		for _, m := range all {
			for _, id := range append(slices.Clone(m.sources), m.targets...) {
				brokers[id] = true
			}
		}
		rate := strconv.FormatInt(r.o.throttle, 10)
		if err := r.setOnBrokers(ctx, brokers, map[string]string{leaderRate: rate, followerRate: rate}, nil); err != nil {
			return err
		}
		fmt.Fprintf(r.out, "The inter-broker throttle limit was set to %d B/s\n", r.o.throttle)
	}
	if r.o.dirThrottle >= 0 {
		brokers := map[int32]bool{}
		for rep := range p.dirs {
			brokers[rep.broker] = true
		}
		if err := r.setOnBrokers(ctx, brokers, map[string]string{dirRate: strconv.FormatInt(r.o.dirThrottle, 10)}, nil); err != nil {
			return err
		}
		fmt.Fprintf(r.out, "The replica-alter-dir throttle limit was set to %d B/s\n", r.o.dirThrottle)
	}
	return nil
}

func (r *runner) setOnBrokers(ctx context.Context, brokers map[int32]bool, set map[string]string, remove []string) error {
	for _, id := range slices.Sorted(maps.Keys(brokers)) {
		if err := cli.AlterConfigs(ctx, r.client, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id)), set, remove); err != nil {
			return fmt.Errorf("broker %d: %w", id, err)
		}
	}
	return nil
}

// clearThrottles removes the limits of all brokers, and those of the plan's topics: nobody
// knows any more which brokers took part.
func (r *runner) clearThrottles(ctx context.Context, p *plan) error {
	known, err := r.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	brokers := map[int32]bool{}
	for _, id := range known.NodeIDs() {
		brokers[id] = true
	}
	topics := map[string]bool{}
	for at := range p.parts {
		topics[at.Topic] = true
	}
	fmt.Fprintf(r.out, "Clearing broker-level throttles on broker%s %s\n", plural(len(brokers)), cli.JoinIDs(slices.Sorted(maps.Keys(brokers)), ","))
	if err := r.setOnBrokers(ctx, brokers, nil, []string{leaderRate, followerRate, dirRate}); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(topics))
	fmt.Fprintf(r.out, "Clearing topic-level throttles on topic%s %s\n", plural(len(names)), strings.Join(names, ","))
	for _, name := range names {
		if err := cli.AlterConfigs(ctx, r.client, kmsg.ConfigResourceTypeTopic, name, nil, []string{leaderReplicas, followerReplicas}); err != nil {
			return fmt.Errorf("topic %s: %w", name, err)
		}
	}
	return nil
}
