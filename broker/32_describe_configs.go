package broker

import (
	"slices"

	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/internal/loglevel"
	"github.com/millrace/millrace/protocol"
)

// DescribeConfigs, versions 1-4.
//
//   - Topics (2), brokers (4), groups (32): rows come from the catalogue, each with its
//     source, synonyms when asked for, type and documentation from version 3 on.
//   - A broker is named by its id, the defaults of all brokers by the empty name.
//   - Broker loggers (8): the level of each. Subscriptions to client metrics (16): no rows
//     where there is none of the name.
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

func (r *request) configRows(want *protocol.DescribeConfigsRequestResource) ([]config.Row, error) {
	b, name, kind := r.b, want.ResourceName, config.ResourceType(want.ResourceType)
	if err := r.mayDescribe(kind, name); err != nil {
		return nil, err
	}
	img := b.loader.Image()
	switch kind {
	case config.ResourceTopic:
		if _, ok := img.Topic(name); !ok {
			return nil, errUnknownTopic
		}
		return b.config().DescribeTopic(img.TopicConfig(name)), nil
	case config.ResourceBroker:
		if name == "" {
			return b.config().DescribeDefaults(), nil
		}
		if err := r.isThisBroker(name); err != nil {
			return nil, err
		}
		return b.config().DescribeBroker(), nil
	case config.ResourceLogger:
		if err := r.isThisBroker(name); err != nil {
			return nil, err
		}
		return r.levelRows(), nil
	case config.ResourceGroup:
		if name == "" {
			return nil, &codedError{protocol.CodeInvalidRequest, "Group name must not be empty"}
		}
		return b.config().DescribeGroup(img.GroupConfig(name)), nil
	}
	if name == "" {
		return nil, &codedError{protocol.CodeInvalidRequest, "Client metrics subscription name must not be empty"}
	}
	return b.config().DescribeClientMetrics(img.ClientMetrics(name)), nil
}

// mayDescribe checks the type of a resource and who asks.
func (r *request) mayDescribe(kind config.ResourceType, name string) error {
	allowed := func(kind ResourceType, name string) bool {
		return r.b.auth.Allowed(r.caller, OpDescribeConfigs, kind, name)
	}
	switch kind {
	case config.ResourceTopic:
		if !allowed(ResourceTopic, name) {
			return errTopicDenied
		}
	case config.ResourceGroup:
		if !allowed(ResourceGroup, name) {
			return errGroupDenied
		}
	case config.ResourceBroker, config.ResourceLogger, config.ResourceClientMetrics:
		if !allowed(ResourceCluster, clusterName) {
			return errClusterDenied
		}
	default:
		return &codedError{protocol.CodeInvalidRequest, kind.String() + " has no configuration here; 2 (topic), 4 (broker), 8 (broker logger), 16 (client metrics) and 32 (group) have"}
	}
	return nil
}

// levelRows describes the levels of loggers.
func (r *request) levelRows() []config.Row {
	var rows []config.Row
	for _, name := range r.b.levels.Names() {
		if level, ok := r.b.levels.Level(name); ok {
			value := loglevel.Name(level)
			rows = append(rows, config.Row{Name: name, Value: &value, Type: config.String, Source: config.SourceLogger})
		}
	}
	return rows
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
