package groups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// member is one consumer of a group.
type member struct {
	id, instance, host, client string
	assigned, target           []cli.Partition
	epoch                      *int32 // nil: the classic protocol
	upgraded                   *bool  // nil: the broker does not say
}

// group is what brokers say of one group, by either protocol.
type group struct {
	name          string
	coordinator   kadm.BrokerDetail
	state         string // "Dead": there is no such group
	assignor      string
	members       []member
	epoch, target *int32 // nil: the classic protocol
}

// dead is the state of a group that does not exist.
const dead = "Dead"

// describeBatch groups are asked for at once, so that a long list shows progress.
const describeBatch = 200

// fetch describes groups: by the new protocol where a broker has it, else (and for groups
// of the classic protocol) by the old one, as Kafka's admin client does.
func (r *runner) fetch(ctx context.Context, names []string) ([]*group, error) {
	out := make([]*group, 0, len(names))
	both := cli.Serves(ctx, r.client, kmsg.ConsumerGroupDescribe, 0)
	progress := cli.NewProgress(r.err, "groups described")
	defer progress.Close()
	for batch := range slices.Chunk(names, describeBatch) {
		found := map[string]*group{}
		classic := batch
		if both {
			var err error
			if classic, err = r.fetchConsumer(ctx, batch, found); err != nil {
				return nil, err
			}
		}
		if len(classic) > 0 {
			if err := r.fetchClassic(ctx, classic, found); err != nil {
				return nil, err
			}
		}
		for _, name := range batch {
			g := found[name]
			if g == nil {
				return nil, fmt.Errorf("no broker described group '%s'", name)
			}
			out = append(out, g)
		}
		progress.Set(len(out), len(names))
	}
	return out, nil
}

// fetchConsumer fills in the groups of the new protocol and returns the others.
func (r *runner) fetchConsumer(ctx context.Context, names []string, into map[string]*group) ([]string, error) {
	described, err := r.admin.DescribeConsumerGroups(ctx, names...)
	if err != nil && len(described) == 0 {
		return nil, shardError(err)
	}
	var others []string
	for _, name := range names {
		d, ok := described[name]
		switch {
		case !ok, errors.Is(d.Err, kerr.GroupIDNotFound), errors.Is(d.Err, kerr.UnsupportedVersion):
			others = append(others, name)
			continue
		case d.Err != nil:
			return nil, d.Err
		}
		g := &group{name: name, coordinator: d.Coordinator, state: d.State, assignor: d.AssignorName, epoch: &d.Epoch, target: &d.AssignmentEpoch}
		for _, m := range d.Members {
			g.members = append(g.members, consumerMember(m))
		}
		into[name] = g
	}
	return others, nil
}

func consumerMember(m kadm.ConsumerGroupMember) member {
	out := member{
		id: m.MemberID, host: m.ClientHost, client: m.ClientID, epoch: &m.MemberEpoch,
		assigned: partitionsOf(m.Assignment), target: partitionsOf(m.TargetAssignment),
	}
	if m.InstanceID != nil {
		out.instance = *m.InstanceID
	}
	if m.MemberType >= 0 {
		upgraded := m.MemberType == 1
		out.upgraded = &upgraded
	}
	return out
}

func (r *runner) fetchClassic(ctx context.Context, names []string, into map[string]*group) error {
	described, err := r.admin.DescribeGroups(ctx, names...)
	if err != nil && len(described) == 0 {
		return shardError(err)
	}
	for _, name := range names {
		d, ok := described[name]
		switch {
		case !ok && err != nil:
			return shardError(err)
		case !ok:
			continue
		case errors.Is(d.Err, kerr.GroupIDNotFound):
			d.State = dead
		case d.Err != nil:
			return d.Err
		case d.ProtocolType != "" && d.ProtocolType != "consumer":
			return cli.Usagef("GroupId '%s' is not a consumer group (%s).", name, d.ProtocolType)
		}
		g := &group{name: name, coordinator: d.Coordinator, state: d.State, assignor: d.Protocol}
		for _, m := range d.Members {
			one := member{id: m.MemberID, host: m.ClientHost, client: m.ClientID}
			if m.InstanceID != nil {
				one.instance = *m.InstanceID
			}
			if a, ok := m.Assigned.AsConsumer(); ok {
				for _, t := range a.Topics {
					for _, p := range t.Partitions {
						one.assigned = append(one.assigned, cli.Partition{Topic: t.Topic, Index: p})
					}
				}
				slices.SortFunc(one.assigned, cli.ComparePartitions)
			}
			g.members = append(g.members, one)
		}
		into[name] = g
	}
	return nil
}

// shardError returns the first reason of an error over several brokers.
func shardError(err error) error {
	var shards *kadm.ShardErrors
	if errors.As(err, &shards) && len(shards.Errs) > 0 {
		return shards.Errs[0].Err
	}
	return err
}

func partitionsOf(set kadm.TopicsSet) []cli.Partition {
	var out []cli.Partition
	for topic, partitions := range set {
		for p := range partitions {
			out = append(out, cli.Partition{Topic: topic, Index: p})
		}
	}
	slices.SortFunc(out, cli.ComparePartitions)
	return out
}

// committed is a group's offset of one partition.
type committed struct {
	at    int64
	epoch int32 // -1: none
}

// committedOffsets returns what a group has committed; partitions without are absent.
func (r *runner) committedOffsets(ctx context.Context, name string) (map[cli.Partition]committed, error) {
	fetched, err := r.admin.FetchOffsets(ctx, name)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, err
	}
	out := map[cli.Partition]committed{}
	for topic, partitions := range fetched {
		for p, f := range partitions {
			if f.Err != nil {
				return nil, f.Err
			}
			if f.At >= 0 {
				out[cli.Partition{Topic: topic, Index: p}] = committed{f.At, f.LeaderEpoch}
			}
		}
	}
	return out, nil
}

// assignment writes partitions as "clicks:0,1;orders:2".
func assignment(partitions []cli.Partition) string {
	if len(partitions) == 0 {
		return missing
	}
	var topics []string
	for i := 0; i < len(partitions); {
		j := i
		var ids []int32
		for ; j < len(partitions) && partitions[j].Topic == partitions[i].Topic; j++ {
			ids = append(ids, partitions[j].Index)
		}
		topics = append(topics, partitions[i].Topic+":"+cli.JoinIDs(ids, ","))
		i = j
	}
	slices.Sort(topics)
	return strings.Join(topics, ";")
}
