package broker

import (
	"slices"
	"strconv"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/protocol"
)

// DescribeConfigs, versions 1-4.
//
//   - Topics (2), brokers (4): rows come from the catalogue, each with its source,
//     synonyms when asked for, type and documentation from version 3 on.
//   - A broker is named by its id, the defaults of all brokers by the empty name.
//   - Other resource types: INVALID_REQUEST.
//   - Sensitive values are null.

func describeConfigs(r *request, q *protocol.DescribeConfigsRequest) protocol.Message {
	resp := new(protocol.DescribeConfigsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	for i := range q.Resources {
		want := &q.Resources[i]
		out := protocol.DescribeConfigsResponseResult{}
		out.ResourceType, out.ResourceName = want.ResourceType, want.ResourceName
		rows, err := r.configRows(want)
		out.ErrorCode, out.ErrorMessage = r.answer(err)
		for j := range rows {
			if want.ConfigurationKeys == nil || slices.Contains(want.ConfigurationKeys, rows[j].Name) {
				out.Configs = append(out.Configs, configRow(&rows[j], q))
			}
		}
		resp.Results = append(resp.Results, out)
	}
	return resp
}

// Resource types of configurations (org.apache.kafka.common.config.ConfigResource.Type).
const (
	configOfTopic  = 2
	configOfBroker = 4
)

func (r *request) configRows(want *protocol.DescribeConfigsRequestResource) ([]config.Row, error) {
	b, name := r.b, want.ResourceName
	switch want.ResourceType {
	case configOfTopic:
		if !b.auth.Allowed(r.caller, OpDescribeConfigs, ResourceTopic, name) {
			return nil, errTopicDenied
		}
		img := b.loader.Image()
		if _, ok := img.Topic(name); !ok {
			return nil, errUnknownTopic
		}
		return b.config().DescribeTopic(img.TopicConfig(name)), nil
	case configOfBroker:
		if !b.auth.Allowed(r.caller, OpDescribeConfigs, ResourceCluster, clusterName) {
			return nil, errClusterDenied
		}
		if name == "" {
			return b.config().DescribeDefaults(), nil
		}
		if id, err := strconv.ParseInt(name, 10, 32); err != nil || int32(id) != b.id {
			return nil, &codedError{protocol.CodeInvalidRequest, "this is broker " + itoa(b.id) + ", ask broker " + name + " for its own configuration"}
		}
		return b.config().DescribeBroker(), nil
	}
	return nil, &codedError{protocol.CodeInvalidRequest, "resource type " + itoa(int32(want.ResourceType)) + " has no configuration here; 2 (topic) and 4 (broker) have"}
}

func configRow(row *config.Row, q *protocol.DescribeConfigsRequest) protocol.DescribeConfigsResponseConfig {
	out := protocol.NewDescribeConfigsResponseConfig()
	out.Name, out.Value = row.Name, nullable(row.Value)
	out.ReadOnly, out.IsSensitive = row.ReadOnly, row.Sensitive
	out.ConfigSource, out.ConfigType = int8(row.Source), int8(row.Type)
	if q.IncludeSynonyms {
		for _, s := range row.Synonyms {
			out.Synonyms = append(out.Synonyms, protocol.DescribeConfigsResponseSynonym{Name: s.Name, Value: nullable(s.Value), Source: int8(s.Source)})
		}
	}
	if q.IncludeDocumentation {
		out.Documentation = protocol.StrOrNull(row.Doc)
	}
	return out
}

func nullable(s *string) protocol.NullString {
	if s == nil {
		return protocol.NullString{}
	}
	return protocol.Str(*s)
}
