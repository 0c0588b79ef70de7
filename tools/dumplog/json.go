package dumplog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// raw is JSON that is already written.
type raw string

// jsonObject writes names and values in their order, as Jackson writes Kafka's messages.
func jsonObject(pairs ...any) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(jsonText(pairs[i]))
		b.WriteByte(':')
		b.WriteString(jsonText(pairs[i+1]))
	}
	b.WriteByte('}')
	return b.String()
}

func jsonText(v any) string {
	switch v := v.(type) {
	case raw:
		return string(v)
	case []byte:
		if v == nil {
			return "null"
		}
		return `"` + base64.StdEncoding.EncodeToString(v) + `"`
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func jsonArray(items []string) raw { return raw("[" + strings.Join(items, ",") + "]") }

// groupJSON is a group with the subscriptions and assignments of consumers read.
func groupJSON(v *kmsg.GroupMetadataValue) string {
	pairs := []any{"protocolType", v.ProtocolType, "generation", v.Generation, "protocol", v.Protocol, "leader", v.Leader}
	if v.Version >= 2 {
		pairs = append(pairs, "currentStateTimestamp", v.CurrentStateTimestamp)
	}
	var members []string
	for _, m := range v.Members {
		members = append(members, memberJSON(v, m))
	}
	return jsonObject(append(pairs, "members", jsonArray(members))...)
}

func memberJSON(v *kmsg.GroupMetadataValue, m kmsg.GroupMetadataValueMember) string {
	pairs := []any{"memberId", m.MemberID}
	if v.Version >= 3 {
		pairs = append(pairs, "groupInstanceId", m.InstanceID)
	}
	pairs = append(pairs, "clientId", m.ClientID, "clientHost", m.ClientHost)
	if v.Version >= 1 {
		pairs = append(pairs, "rebalanceTimeout", m.RebalanceTimeoutMillis)
	}
	pairs = append(pairs, "sessionTimeout", m.SessionTimeoutMillis)
	subscription, assignment := any(m.Subscription), any(m.Assignment)
	if v.ProtocolType == "consumer" {
		if s := kmsg.NewConsumerMemberMetadata(); s.ReadFrom(m.Subscription) == nil {
			subscription = subscriptionJSON(&s)
		}
		if a := kmsg.NewConsumerMemberAssignment(); a.ReadFrom(m.Assignment) == nil {
			assignment = assignmentJSON(&a)
		}
	}
	return jsonObject(append(pairs, "subscription", subscription, "assignment", assignment)...)
}

func subscriptionJSON(s *kmsg.ConsumerMemberMetadata) raw {
	var topics []string
	for _, t := range s.Topics {
		topics = append(topics, jsonText(t))
	}
	pairs := []any{"topics", jsonArray(topics), "userData", s.UserData}
	if s.Version >= 1 {
		var owned []string
		for _, o := range s.OwnedPartitions {
			owned = append(owned, jsonObject("topic", o.Topic, "partitions", o.Partitions))
		}
		pairs = append(pairs, "ownedPartitions", jsonArray(owned))
	}
	if s.Version >= 2 {
		pairs = append(pairs, "generationId", s.Generation)
	}
	if s.Version >= 3 {
		pairs = append(pairs, "rackId", s.Rack)
	}
	return raw(jsonObject(pairs...))
}

func assignmentJSON(a *kmsg.ConsumerMemberAssignment) raw {
	var topics []string
	for _, t := range a.Topics {
		topics = append(topics, jsonObject("topic", t.Topic, "partitions", t.Partitions))
	}
	return raw(jsonObject("assignedPartitions", jsonArray(topics), "userData", a.UserData))
}
