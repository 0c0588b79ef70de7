package broker

import (
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// AlterClientQuotas, versions 0-1.
//
//   - An entity is a user, a client-id, both, or an ip; null names the default.
//   - All quotas of an entity are checked before one is changed. Entities that are refused
//     do not keep others from their change; what changes, changes at once.
//   - The answer comes when the quotas are in force.

func alterClientQuotas(r *request, q *protocol.AlterClientQuotasRequest) protocol.Message {
	b := r.b
	resp := &protocol.AlterClientQuotasResponse{ThrottleTimeMs: r.charge(len(r.body))}
	allowed := b.auth.Allowed(r.caller, OpAlterConfigs, ResourceCluster, clusterName)
	var changes []controller.QuotaChange
	var at []int
	for i := range q.Entries {
		in := &q.Entries[i]
		out := protocol.AlterClientQuotasResponseEntry{}
		for _, part := range in.Entity {
			out.Entity = append(out.Entity, protocol.AlterClientQuotasResponseEntity{EntityType: part.EntityType, EntityName: part.EntityName})
		}
		e, err := parseEntity(in.Entity)
		if !allowed {
			err = errClusterDenied
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = r.answer(err)
		} else {
			change := controller.QuotaChange{Entity: e}
			for _, op := range in.Ops {
				change.Ops = append(change.Ops, controller.QuotaOp{Key: op.Key, Value: op.Value, Remove: op.Remove})
			}
			changes, at = append(changes, change), append(at, i)
		}
		resp.Entries = append(resp.Entries, out)
	}
	errs, _ := b.controller.AlterQuotas(b.ctx, changes, q.ValidateOnly)
	for j, err := range errs {
		out := &resp.Entries[at[j]]
		out.ErrorCode, out.ErrorMessage = r.answer(err, "entity", changes[j].Entity.Path())
	}
	return resp
}

func parseEntity(parts []protocol.AlterClientQuotasRequestEntity) (metadata.QuotaEntity, error) {
	var e metadata.QuotaEntity
	invalid := func(message string) (metadata.QuotaEntity, error) {
		return e, &codedError{protocol.CodeInvalidRequest, message}
	}
	if len(parts) == 0 {
		return invalid("Invalid empty client quota entity")
	}
	for _, part := range parts {
		var n *metadata.QuotaName
		switch part.EntityType {
		case quotaOfUser:
			n = &e.User
		case quotaOfClientID:
			n = &e.ClientID
		case quotaOfIP:
			n = &e.IP
		default:
			return invalid("Unhandled client quota entity type: " + part.EntityType + "; there are user, client-id and ip")
		}
		switch {
		case n.Set:
			return invalid("Invalid client quota entity, duplicate entity entry " + part.EntityType)
		case part.EntityName.Valid && part.EntityName.Value == "":
			return invalid("Empty " + part.EntityType + " not supported")
		case part.EntityName.Valid:
			*n = metadata.NamedQuota(part.EntityName.Value)
		default:
			*n = metadata.DefaultQuota()
		}
	}
	return e, nil
}
