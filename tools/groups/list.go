package groups

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// states are the states that a consumer group can be in, as Kafka writes them.
func states() []string {
	return []string{"PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling"}
}

// types are the types of groups, as Kafka writes them.
func types() []string { return []string{"Classic", "Consumer", "Share", "Streams"} }

// listGroups asks every broker for the groups that it coordinates. A broker that does not
// answer costs a warning, as long as one does.
func listGroups(ctx context.Context, client *kgo.Client, warn io.Writer, inStates, ofTypes []string) ([]kmsg.ListGroupsResponseGroup, error) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = inStates, ofTypes
	var out []kmsg.ListGroupsResponseGroup
	var failed error
	answered := false
	for _, shard := range client.RequestSharded(ctx, req) {
		err := shard.Err
		if err == nil {
			err = cli.NewBrokerError(shard.Resp.(*kmsg.ListGroupsResponse).ErrorCode, nil)
		}
		if err != nil {
			failed = err
			fmt.Fprintf(warn, "WARN: broker %d did not list its groups: %s\n", shard.Meta.NodeID, cli.ErrorLine(err))
			continue
		}
		answered = true
		for _, g := range shard.Resp.(*kmsg.ListGroupsResponse).Groups {
			// Brokers before ListGroups 4 and 5 do not know the filters.
			if among(inStates, g.GroupState) && among(ofTypes, g.GroupType) {
				out = append(out, g)
			}
		}
	}
	if !answered && failed != nil {
		return nil, failed
	}
	slices.SortFunc(out, func(a, b kmsg.ListGroupsResponseGroup) int { return strings.Compare(a.Group, b.Group) })
	return slices.CompactFunc(out, func(a, b kmsg.ListGroupsResponseGroup) bool { return a.Group == b.Group }), nil
}

func among(wanted []string, word string) bool {
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, word) })
}

// isConsumer says whether a group belongs to this tool: not those of Connect, not share or
// streams groups. A group without a protocol was made by commits alone.
func isConsumer(g kmsg.ListGroupsResponseGroup) bool {
	if strings.EqualFold(g.GroupType, "share") || strings.EqualFold(g.GroupType, "streams") {
		return false
	}
	return g.ProtocolType == "consumer" || g.ProtocolType == "" || strings.EqualFold(g.GroupType, "consumer")
}

// listed returns the consumer groups.
func (r *runner) listed(ctx context.Context, inStates, ofTypes []string) ([]kmsg.ListGroupsResponseGroup, error) {
	all, err := listGroups(ctx, r.client, r.err, inStates, ofTypes)
	return slices.DeleteFunc(all, func(g kmsg.ListGroupsResponseGroup) bool { return !isConsumer(g) }), err
}

// list is --list.
func (r *runner) list(ctx context.Context) error {
	inStates, err := words(r.o.state, "state", states())
	if err != nil {
		return err
	}
	ofTypes, err := words(r.o.kind, "types", []string{"Classic", "Consumer"})
	if err != nil {
		return err
	}
	all, err := r.listed(ctx, inStates, ofTypes)
	if err != nil {
		return err
	}
	if !r.o.hasState && !r.o.hasKind {
		for _, g := range all {
			fmt.Fprintln(r.out, g.Group)
		}
		return nil
	}
	width := 15
	for _, g := range all {
		width = max(width, len(g.Group))
	}
	width += 10
	r.listRow(width, "GROUP", "TYPE", "STATE")
	for _, g := range all {
		r.listRow(width, g.Group, title(g.GroupType), orUnknown(g.GroupState))
	}
	return nil
}

func (r *runner) listRow(width int, group, kind, state string) {
	fmt.Fprintf(r.out, "%-*s", width, group)
	if r.o.hasKind {
		fmt.Fprintf(r.out, " %-20s", kind)
	}
	if r.o.hasState {
		fmt.Fprintf(r.out, " %-20s", state)
	}
	fmt.Fprintln(r.out)
}

// words reads a comma separated filter, in any case, into the words that are valid.
func words(list, what string, valid []string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	var out []string
	for _, w := range strings.Split(list, ",") {
		i := slices.IndexFunc(valid, func(v string) bool { return strings.EqualFold(v, strings.TrimSpace(w)) })
		if i < 0 {
			return nil, cli.Usagef("Invalid %s list '%s'. Valid %s are: %s", what, list, strings.TrimSuffix(what, "s")+"s", strings.Join(valid, ", "))
		}
		out = append(out, valid[i])
	}
	return out, nil
}

// title writes a type as Kafka's tools do.
func title(kind string) string {
	for _, t := range types() {
		if strings.EqualFold(t, kind) {
			return t
		}
	}
	return "Unknown"
}

func orUnknown(word string) string {
	if word == "" {
		return "Unknown"
	}
	return word
}
