package broker

import (
	"errors"

	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/protocol"
	"github.com/millrace/millrace/replication"
)

// CreateTopics, versions 0-7.
//
//   - Partitions and replication factor -1 mean the broker's defaults (KIP-464; Kafka
//     takes it from version 4 on, here every version does).
//   - The same topic twice: INVALID_REQUEST for both. Assignments exclude the two counts.
//   - validateOnly from version 1 on: checked in full, nothing is made.
//   - From version 5 on the answer has the topic's configuration; from 7 on its id.
//   - Above controller_mutation_rate: THROTTLING_QUOTA_EXCEEDED from version 6 on, before
//     that only a throttle time (KIP-599).
//   - The answer comes when the topic can be used: its logs exist. A topic whose logs cannot
//     be made (no room, a failed directory) is taken back, and the answer says why.

func createTopics(r *request, q *protocol.CreateTopicsRequest) protocol.Message {
	b := r.b
	resp := new(protocol.CreateTopicsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	wants := make([]controller.NewTopic, 0, len(q.Topics))
	at := make([]int, 0, len(q.Topics)) // place in the response of each of wants
	for i := range q.Topics {
		t := &q.Topics[i]
		out := protocol.NewCreateTopicsResponseTopic()
		out.Name = t.Name
		out.Configs = []protocol.CreateTopicsResponseConfig{}
		want, err := r.newTopic(t)
		if err != nil {
			out.ErrorCode, out.ErrorMessage = r.answer(err)
		} else {
			wants, at = append(wants, want), append(at, i)
		}
		resp.Topics = append(resp.Topics, out)
	}
	quota := r.mutations(6)
	wants, at = r.affordableTopics(quota, resp, wants, at)
	resp.ThrottleTimeMs = quota.told(resp.ThrottleTimeMs)
	made, zxid := b.controller.CreateTopics(b.ctx, wants, q.ValidateOnly)
	settled := b.settled(zxid)
	if zxid != 0 && settled == nil {
		r.takeBack(made)
	}
	for j := range made {
		out := &resp.Topics[at[j]]
		err := made[j].Err
		if err == nil {
			err = settled
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = r.answer(err, "topic", out.Name)
			continue
		}
		out.TopicID, out.NumPartitions, out.ReplicationFactor = made[j].ID, made[j].NumPartitions, made[j].ReplicationFactor
		r.describeCreated(out, wants[j].Config)
	}
	return resp
}

// affordableTopics leaves out what the quota of mutations refuses. What could not be created
// anyway is not counted; the answer says why when it is tried.
func (r *request) affordableTopics(quota *mutations, resp *protocol.CreateTopicsResponse, wants []controller.NewTopic, at []int) ([]controller.NewTopic, []int) {
	if !quota.limited() {
		return wants, at
	}
	dry, _ := r.b.controller.CreateTopics(r.b.ctx, wants, true)
	n := 0
	for j := range dry {
		if dry[j].Err == nil {
			if err := quota.take(int(dry[j].NumPartitions)); err != nil {
				out := &resp.Topics[at[j]]
				out.ErrorCode, out.ErrorMessage = r.answer(err)
				continue
			}
		}
		wants[n], at[n] = wants[j], at[j]
		n++
	}
	return wants[:n], at[:n]
}

// takeBack removes the topics that did not get all their logs, and notes why.
func (r *request) takeBack(made []controller.CreatedTopic) {
	b := r.b
	var ids []protocol.UUID
	var failed []int
	for i := range made {
		if made[i].Err != nil {
			continue
		}
		if err := b.logsMissing(made[i].Name, 0, made[i].NumPartitions); err != nil {
			made[i].Err = err
			ids, failed = append(ids, made[i].ID), append(failed, i)
		}
	}
	if len(ids) == 0 {
		return
	}
	zxid, err := b.controller.UndoTopics(b.ctx, ids)
	if err == nil {
		err = b.settled(zxid)
	}
	for _, i := range failed {
		b.log.Error("a topic's logs could not be made", "topic", made[i].Name, "err", made[i].Err, "taken_back", err == nil)
		code, message := codeOf(made[i].Err)
		if err != nil {
			message += "; the topic exists, and gets its logs when that is possible"
		}
		made[i].Err = &codedError{code, message}
	}
}

// logsMissing tells why a partition of [from, to) has no log here, nil when all have theirs.
func (b *Broker) logsMissing(topic string, from, to int32) error {
	for i := from; i < to; i++ {
		_, err := b.manager.Get(topic, i)
		if offline, ok := errors.AsType[*replication.OfflineError](err); ok {
			return offline.Err // what befell the disk says more than "offline"
		}
	}
	return nil
}

func (r *request) newTopic(t *protocol.CreateTopicsRequestTopic) (controller.NewTopic, error) {
	if !r.b.auth.Allowed(r.caller, OpCreate, ResourceCluster, clusterName) && !r.b.auth.Allowed(r.caller, OpCreate, ResourceTopic, t.Name) {
		return controller.NewTopic{}, errTopicDenied
	}
	want := controller.NewTopic{Name: t.Name, NumPartitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
	for i := range t.Assignments {
		want.Assignments = append(want.Assignments, controller.Assignment{Partition: t.Assignments[i].PartitionIndex, Replicas: t.Assignments[i].BrokerIDs})
	}
	for i := range t.Configs {
		c := &t.Configs[i]
		if !c.Value.Valid {
			return want, &codedError{protocol.CodeInvalidConfig, "Null value not supported for topic configs: " + c.Name}
		}
		if want.Config == nil {
			want.Config = make(map[string]string)
		}
		want.Config[c.Name] = c.Value.Value
	}
	return want, nil
}

// describeCreated adds what the topic is configured with, if the client may see it.
func (r *request) describeCreated(out *protocol.CreateTopicsResponseTopic, settings map[string]string) {
	if r.h.Version < 5 {
		return
	}
	if !r.b.auth.Allowed(r.caller, OpDescribeConfigs, ResourceTopic, out.Name) {
		out.TopicConfigErrorCode = protocol.CodeTopicAuthorizationFailed
		out.NumPartitions, out.ReplicationFactor, out.Configs = -1, -1, nil
		return
	}
	for _, row := range r.b.config().DescribeTopic(settings) {
		c := protocol.NewCreateTopicsResponseConfig()
		c.Name, c.Value, c.ReadOnly, c.IsSensitive, c.ConfigSource = row.Name, nullable(row.Value), row.ReadOnly, row.Sensitive, int8(row.Source)
		out.Configs = append(out.Configs, c)
	}
}
