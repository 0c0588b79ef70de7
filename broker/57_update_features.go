package broker

import (
	"github.com/millrace/millrace/controller"
	"github.com/millrace/millrace/protocol"
)

// UpdateFeatures, versions 0-2.
//
//   - All or nothing: one refused update stops the others. Version 2 has no result for each
//     feature; there, and in the others beside the results, the code is that of the request.
//   - Version 0 says "allow downgrade"; from version 1 on there are upgrade (1), safe (2) and
//     unsafe downgrade (3), and a dry run.
//   - Unknown features, levels out of range, a downgrade that is not allowed:
//     INVALID_UPDATE_VERSION.

func updateFeatures(r *request, q *protocol.UpdateFeaturesRequest) protocol.Message {
	b := r.b
	resp := new(protocol.UpdateFeaturesResponse)
	resp.ThrottleTimeMs = r.charge(len(r.body))
	if !b.auth.Allowed(r.caller, OpAlter, ResourceCluster, clusterName) {
		resp.ErrorCode, resp.ErrorMessage = r.answer(errClusterDenied)
		return resp
	}
	updates := make([]controller.FeatureUpdate, len(q.FeatureUpdates))
	for i := range q.FeatureUpdates {
		u := &q.FeatureUpdates[i]
		updates[i] = controller.FeatureUpdate{Name: u.Feature, Level: u.MaxVersionLevel, Type: controller.UpgradeType(u.UpgradeType)}
		if r.h.Version == 0 {
			updates[i].Type = controller.Upgrade
			if u.AllowDowngrade && u.MaxVersionLevel < controller.FeatureLevel(b.loader.Image(), u.Feature) {
				updates[i].Type = controller.SafeDowngrade
			}
		}
	}
	errs, _, err := b.controller.UpdateFeatures(b.ctx, updates, q.ValidateOnly)
	for i, refused := range errs {
		if refused != nil && err == nil && r.h.Version >= 2 {
			code, _ := codeOf(refused)
			err = &codedError{code, "The update failed for all features since the following feature had an error: " + refused.Error()}
		}
		out := protocol.UpdateFeaturesResponseResult{Feature: updates[i].Name}
		if out.ErrorCode, out.ErrorMessage = r.answer(refused); r.h.Version < 2 {
			resp.Results = append(resp.Results, out)
		}
	}
	resp.ErrorCode, resp.ErrorMessage = r.answer(err)
	return resp
}

// newGroups tells whether the group protocol of KIP-848 is served. Each heartbeat asks.
func (b *Broker) newGroups() bool {
	level, set := b.loader.Image().Features().Levels[controller.GroupVersion]
	return (level > 0 || !set) && b.config().Broker.Groups.Consumer.Served
}
