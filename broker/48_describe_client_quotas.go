package broker

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/millrace/millrace/metadata"
	"github.com/millrace/millrace/protocol"
)

// DescribeClientQuotas, versions 0-1.
//
//   - A filter has at most one component for each of user, client-id and ip; ip stands
//     alone. Each matches one name, the default, or any.
//   - Strict: entities have no other parts than those that the filter names.
//   - Of the settings of a user only quotas are shown.

// Parts of an entity (org.apache.kafka.common.quota.ClientQuotaEntity).
const (
	quotaOfUser     = "user"
	quotaOfClientID = "client-id"
	quotaOfIP       = "ip"
)

// How a component of a filter matches (DescribeClientQuotasRequest).
const (
	matchExact int8 = iota
	matchDefault
	matchSpecified
)

func describeClientQuotas(r *request, q *protocol.DescribeClientQuotasRequest) protocol.Message {
	resp := &protocol.DescribeClientQuotasResponse{ThrottleTimeMs: r.charge(len(r.body)), Entries: []protocol.DescribeClientQuotasResponseEntry{}}
	if !r.b.auth.Allowed(r.caller, OpDescribeConfigs, ResourceCluster, clusterName) {
		resp.ErrorCode, resp.ErrorMessage = r.answer(errClusterDenied)
		resp.Entries = nil
		return resp
	}
	f, err := newQuotaFilter(q)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = r.answer(err)
		resp.Entries = nil
		return resp
	}
	quotas := r.b.loader.Image().Quotas()
	entities := slices.SortedFunc(maps.Keys(quotas), func(a, b metadata.QuotaEntity) int { return cmp.Compare(a.Path(), b.Path()) })
	for _, e := range entities {
		values := quotaValues(quotas[e])
		if len(values) > 0 && f.matches(e) {
			resp.Entries = append(resp.Entries, protocol.DescribeClientQuotasResponseEntry{Entity: describeEntity(e), Values: values})
		}
	}
	return resp
}

// quotaFilter has a component for each part that the request names.
type quotaFilter struct {
	parts  map[string]protocol.DescribeClientQuotasRequestComponent
	strict bool
}

func newQuotaFilter(q *protocol.DescribeClientQuotasRequest) (quotaFilter, error) {
	f := quotaFilter{parts: map[string]protocol.DescribeClientQuotasRequestComponent{}, strict: q.Strict}
	invalid := func(message string) (quotaFilter, error) {
		return f, &codedError{protocol.CodeInvalidRequest, message}
	}
	for _, c := range q.Components {
		_, twice := f.parts[c.EntityType]
		switch {
		case c.EntityType == "":
			return invalid("Invalid empty entity type.")
		case twice:
			return invalid("Entity type " + c.EntityType + " cannot appear more than once in the filter.")
		case c.EntityType != quotaOfUser && c.EntityType != quotaOfClientID && c.EntityType != quotaOfIP:
			return f, &codedError{protocol.CodeUnsupportedVersion, "Unsupported entity type " + c.EntityType + "; there are user, client-id and ip"}
		case c.MatchType < matchExact || c.MatchType > matchSpecified:
			return invalid("Unknown match type " + itoa(int32(c.MatchType)))
		case c.Match.Valid != (c.MatchType == matchExact):
			return invalid("A match string belongs to match type 0 (exact) and to no other.")
		}
		f.parts[c.EntityType] = c
	}
	if _, ip := f.parts[quotaOfIP]; ip && len(f.parts) > 1 {
		return invalid("Invalid entity filter component combination: ip is not used with user or client-id.")
	}
	return f, nil
}

func (f quotaFilter) matches(e metadata.QuotaEntity) bool {
	return f.part(quotaOfUser, e.User) && f.part(quotaOfClientID, e.ClientID) && f.part(quotaOfIP, e.IP)
}

func (f quotaFilter) part(name string, n metadata.QuotaName) bool {
	c, named := f.parts[name]
	switch {
	case !named:
		return !n.Set || !f.strict
	case !n.Set:
		return false
	case c.MatchType == matchExact:
		return !n.Default && n.Name == c.Match.Value
	}
	return c.MatchType == matchSpecified || n.Default
}

func describeEntity(e metadata.QuotaEntity) []protocol.DescribeClientQuotasResponseEntity {
	var out []protocol.DescribeClientQuotasResponseEntity
	add := func(kind string, n metadata.QuotaName) {
		if n.Set {
			out = append(out, protocol.DescribeClientQuotasResponseEntity{EntityType: kind, EntityName: protocol.NullString{Value: n.Name, Valid: !n.Default}})
		}
	}
	add(quotaOfUser, e.User)
	add(quotaOfClientID, e.ClientID)
	add(quotaOfIP, e.IP)
	return out
}

func quotaValues(settings map[string]string) []protocol.DescribeClientQuotasResponseValue {
	var out []protocol.DescribeClientQuotasResponseValue
	for _, key := range []string{
		metadata.ConnectionCreationRate, metadata.ConsumerByteRate, metadata.ControllerMutationRate, metadata.ProducerByteRate, metadata.RequestPercentage,
	} {
		if v, err := strconv.ParseFloat(settings[key], 64); err == nil {
			out = append(out, protocol.DescribeClientQuotasResponseValue{Key: key, Value: v})
		}
	}
	return out
}
