package broker

import (
	"github.com/millrace/millrace/broker/config"
	"github.com/millrace/millrace/protocol"
)

// AlterConfigs, versions 0-2.
//
//   - The settings given are all that the resource has afterwards: what is left out goes back
//     to its default. Checks and codes are those of IncrementalAlterConfigs (44), which new
//     clients use instead.
//   - Broker loggers: INVALID_REQUEST.

func alterConfigs(r *request, q *protocol.AlterConfigsRequest) protocol.Message {
	resp := new(protocol.AlterConfigsResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	list := make([]alteration, len(q.Resources))
	for i := range q.Resources {
		res := &q.Resources[i]
		a := alteration{kind: config.ResourceType(res.ResourceType), name: res.ResourceName, replace: true}
		for j := range res.Configs {
			a.ops = append(a.ops, config.Op{Name: res.Configs[j].Name, Value: pointer(res.Configs[j].Value)})
		}
		list[i] = a
	}
	r.alter(list, q.ValidateOnly)
	for i := range list {
		out := protocol.AlterConfigsResponseResource{ResourceType: int8(list[i].kind), ResourceName: list[i].name}
		out.ErrorCode, out.ErrorMessage = r.answer(list[i].err, "resource", list[i].kind.String(), "name", list[i].name)
		resp.Responses = append(resp.Responses, out)
	}
	return resp
}
