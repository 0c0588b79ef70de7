package broker

import (
	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/protocol"
)

// IncrementalAlterConfigs, versions 0-1.
//
//   - SET (0), DELETE (1), APPEND (2) and SUBTRACT (3); the last two for lists, starting from
//     the value that holds where the resource has none of its own.
//   - Each resource is checked as a whole before anything of it is applied, and is applied or
//     refused whatever happens to the others. Answered when it is in force.
//   - A bad value or an unknown key of a topic, a group or a subscription to client metrics:
//     INVALID_CONFIG. Of a broker, and what it cannot change while it runs: INVALID_REQUEST,
//     which is Kafka's code for it (KAFKA-13609). An unknown key of a broker is refused;
//     Kafka keeps it for plugins.
//   - A resource, or a key of one, that stands twice: INVALID_REQUEST.
//   - Broker loggers (8): levels until the broker stops. Brokers and loggers of another
//     broker: INVALID_REQUEST.

func incrementalAlterConfigs(r *request, q *protocol.IncrementalAlterConfigsRequest) protocol.Message {
	resp := new(protocol.IncrementalAlterConfigsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	list := make([]alteration, len(q.Resources))
	for i := range q.Resources {
		res := &q.Resources[i]
		a := alteration{kind: config.ResourceType(res.ResourceType), name: res.ResourceName}
		for j := range res.Configs {
			c := &res.Configs[j]
			a.ops = append(a.ops, config.Op{Type: config.OpType(c.ConfigOperation), Name: c.Name, Value: pointer(c.Value)})
		}
		list[i] = a
	}
	r.alter(list, q.ValidateOnly)
	for i := range list {
		out := protocol.IncrementalAlterConfigsResponseResource{ResourceType: int8(list[i].kind), ResourceName: list[i].name}
		out.ErrorCode, out.ErrorMessage = r.answer(list[i].err, "resource", list[i].kind.String(), "name", list[i].name)
		resp.Responses = append(resp.Responses, out)
	}
	return resp
}
