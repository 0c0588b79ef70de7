package topics

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// partition is one row of the description.
type partition struct {
	index, leader int32 // leader -1: none
	replicas, isr []int32
	adding        []int32
	removing      []int32
	moving        bool
	elr, lastELR  *[]int32 // nil: the cluster does not say
}

// description is one topic with what the rows need.
type description struct {
	name       string
	id         kadm.TopicID
	partitions []partition
	overrides  []string // name=value of what is not a default, sorted by name
	minISR     int
}

func (r *runner) describe(ctx context.Context) error {
	names, err := r.describeNames(ctx)
	if err != nil {
		return err
	}
	all, err := r.fetchDescriptions(ctx, names)
	if err != nil {
		return err
	}
	brokers, err := r.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		r.print(d, brokers.NodeIDs())
	}
	return nil
}

// describeNames resolves --topic-id (which wins) or --topic to names.
func (r *runner) describeNames(ctx context.Context) ([]string, error) {
	if r.o.topicID == "" || r.o.topicID == (kadm.TopicID{}).String() {
		return r.existing(ctx)
	}
	details, err := r.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, err
	}
	for name, t := range details {
		if uuid(t.ID) == r.o.topicID && !(r.o.excludeInternal && cli.IsInternal(name)) {
			return []string{name}, nil
		}
	}
	if r.o.ifExists {
		return nil, nil
	}
	return nil, fmt.Errorf("TopicId '%s' does not exist as expected", r.o.topicID)
}

func (r *runner) fetchDescriptions(ctx context.Context, names []string) ([]*description, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var all []*description
	var err error
	if cli.Serves(ctx, r.client, kmsg.DescribeTopicPartitions, 0) {
		all, err = r.fromTopicPartitions(ctx, names)
	} else {
		all, err = r.fromMetadata(ctx, names)
	}
	if err != nil {
		return nil, err
	}
	if err := r.addConfigs(ctx, all); err != nil {
		return nil, err
	}
	r.addReassignments(ctx, all)
	return all, nil
}

// fromMetadata serves clusters before KIP-966: without eligible leader replicas.
func (r *runner) fromMetadata(ctx context.Context, names []string) ([]*description, error) {
	details, err := r.admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, err
	}
	var all []*description
	for _, t := range details.Sorted() {
		if t.Err != nil {
			return nil, t.Err
		}
		d := &description{name: t.Topic, id: t.ID}
		for _, p := range t.Partitions.Sorted() {
			d.partitions = append(d.partitions, partition{index: p.Partition, leader: p.Leader, replicas: p.Replicas, isr: p.ISR})
		}
		all = append(all, d)
	}
	return all, nil
}

// fromTopicPartitions reads page after page of DescribeTopicPartitions.
func (r *runner) fromTopicPartitions(ctx context.Context, names []string) ([]*description, error) {
	byName := map[string]*description{}
	var all []*description
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = int32(r.o.partitionSizeLimit)
	for _, n := range names {
		req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: n})
	}
	for {
		resp, err := req.RequestWith(ctx, r.client)
		if err != nil {
			return nil, err
		}
		for _, t := range resp.Topics {
			if err := cli.NewBrokerError(t.ErrorCode, nil); err != nil {
				return nil, err
			}
			d := byName[*t.Topic]
			if d == nil {
				d = &description{name: *t.Topic, id: t.TopicID}
				byName[*t.Topic] = d
				all = append(all, d)
			}
			for _, p := range t.Partitions {
				d.partitions = append(d.partitions, partition{index: p.Partition, leader: p.LeaderID, replicas: p.Replicas,
					isr: p.ISR, elr: &p.EligibleLeaderReplicas, lastELR: &p.LastKnownELR})
			}
		}
		if resp.NextCursor == nil {
			break
		}
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: resp.NextCursor.Topic, Partition: resp.NextCursor.Partition}
	}
	slices.SortFunc(all, func(a, b *description) int { return cmp.Compare(a.name, b.name) })
	for _, d := range all {
		slices.SortFunc(d.partitions, func(a, b partition) int { return cmp.Compare(a.index, b.index) })
	}
	return all, nil
}

func (r *runner) addConfigs(ctx context.Context, all []*description) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, d := range all {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, d.name
		req.Resources = append(req.Resources, resource)
	}
	resp, err := req.RequestWith(ctx, r.client)
	if err != nil {
		return err
	}
	for _, resource := range resp.Resources {
		i := slices.IndexFunc(all, func(d *description) bool { return d.name == resource.ResourceName })
		if i < 0 {
			continue
		}
		if err := cli.NewBrokerError(resource.ErrorCode, resource.ErrorMessage); err != nil {
			return err
		}
		for _, c := range resource.Configs {
			value := ""
			if c.Value != nil {
				value = *c.Value
			}
			if c.Source != kmsg.ConfigSourceDefaultConfig && !c.IsDefault {
				all[i].overrides = append(all[i].overrides, c.Name+"="+value)
			}
			if c.Name == "min.insync.replicas" {
				all[i].minISR, _ = strconv.Atoi(value)
			}
		}
		slices.Sort(all[i].overrides)
	}
	return nil
}

// addReassignments adds what moves; a cluster that cannot say has nothing moving.
func (r *runner) addReassignments(ctx context.Context, all []*description) {
	if !cli.Serves(ctx, r.client, kmsg.ListPartitionReassignments, 0) {
		return
	}
	now, err := cli.Reassignments(ctx, r.client, nil)
	if err != nil {
		return
	}
	for _, d := range all {
		for i := range d.partitions {
			p := &d.partitions[i]
			if move, ok := now[cli.Partition{Topic: d.name, Index: p.index}]; ok {
				p.moving, p.adding, p.removing = true, move.Adding, move.Removing
			}
		}
	}
}

func (r *runner) print(d *description, live []int32) {
	o := r.o
	wholeTopics := !o.unavailable && !o.underReplicated && !o.underMinISR && !o.atMinISR
	if wholeTopics && (!o.overridesOnly || len(d.overrides) > 0) && len(d.partitions) > 0 {
		id := ""
		if d.id != (kadm.TopicID{}) {
			id = "\tTopicId: " + uuid(d.id)
		}
		fmt.Fprintf(r.out, "Topic: %s%s\tPartitionCount: %d\tReplicationFactor: %d\tConfigs: %s\n",
			d.name, id, len(d.partitions), d.partitions[0].replicationFactor(), strings.Join(d.overrides, ","))
	}
	if o.overridesOnly {
		return
	}
	for _, p := range d.partitions {
		switch {
		case wholeTopics,
			o.underReplicated && p.replicationFactor() > len(p.isr),
			o.unavailable && !slices.Contains(live, p.leader),
			o.underMinISR && (p.leader < 0 || len(p.isr) < d.minISR),
			o.atMinISR && len(p.isr) == d.minISR:
			p.print(r, d.name)
		}
	}
}

func (p *partition) print(r *runner, topic string) {
	leader := "none"
	if p.leader >= 0 {
		leader = strconv.Itoa(int(p.leader))
	}
	fmt.Fprintf(r.out, "\tTopic: %s\tPartition: %d\tLeader: %s\tReplicas: %s\tIsr: %s",
		topic, p.index, leader, join(p.replicas, ","), join(p.isr, ","))
	if p.moving {
		fmt.Fprintf(r.out, "\tAdding Replicas: %s\tRemoving Replicas: %s", join(p.adding, ","), join(p.removing, ","))
	}
	fmt.Fprintf(r.out, "\tElr: %s\tLastKnownElr: %s\n", orNA(p.elr), orNA(p.lastELR))
}

// replicationFactor does not count replicas that are still being added.
func (p *partition) replicationFactor() int {
	if slices.ContainsFunc(p.replicas, func(id int32) bool { return slices.Contains(p.adding, id) || slices.Contains(p.removing, id) }) {
		return len(p.replicas) - len(p.adding)
	}
	return len(p.replicas)
}

func orNA(ids *[]int32) string {
	if ids == nil {
		return "N/A"
	}
	return join(*ids, ",")
}

// uuid writes an id as Kafka does: base64 for URLs without padding.
func uuid(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
