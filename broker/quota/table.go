package quota

import (
	"math"
	"net/netip"
	"strconv"

	"github.com/millrace/millrace/metadata"
)

// Kind is what a quota limits.
type Kind uint8

// The kinds of quotas of users and clients.
const (
	Produce  Kind = iota // bytes a second
	Fetch                // bytes a second
	Request              // percent of the time of one thread
	Mutation             // partitions that are created or deleted in a second
	kinds
)

// String is Kafka's name of the kind (QuotaType).
func (k Kind) String() string {
	return [...]string{"Produce", "Fetch", "Request", "ControllerMutation"}[k]
}

var settings = [kinds]string{
	Produce: metadata.ProducerByteRate, Fetch: metadata.ConsumerByteRate,
	Request: metadata.RequestPercentage, Mutation: metadata.ControllerMutationRate,
}

// Table holds the quotas of one image. It never changes.
type Table struct {
	limits    [kinds]map[metadata.QuotaEntity]float64
	addresses map[netip.Addr]float64
	// anyAddress is the rate of an address that has none of its own; +Inf: no limit.
	anyAddress float64
}

// NewTable reads quotas. What cannot be read is told and counts as not set. It returns nil
// when there is no quota at all.
func NewTable(of map[metadata.QuotaEntity]map[string]string, unreadable func(path, key, value string)) *Table {
	t := &Table{anyAddress: math.Inf(1)}
	found := false
	for e, config := range of {
		number := func(key string) (float64, bool) {
			text, ok := config[key]
			if !ok {
				return 0, false
			}
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(v) || v < 0 {
				unreadable(e.Path(), key, text)
				return 0, false
			}
			found = true
			return v, true
		}
		if e.IP.Set {
			if v, ok := number(metadata.ConnectionCreationRate); ok {
				t.address(e, v, unreadable)
			}
			continue
		}
		for k, key := range settings {
			if v, ok := number(key); ok {
				if t.limits[k] == nil {
					t.limits[k] = map[metadata.QuotaEntity]float64{}
				}
				t.limits[k][e] = v
			}
		}
	}
	if !found {
		return nil
	}
	return t
}

func (t *Table) address(e metadata.QuotaEntity, perSecond float64, unreadable func(path, key, value string)) {
	if e.IP.Default {
		t.anyAddress = perSecond
		return
	}
	a, err := netip.ParseAddr(e.IP.Name)
	if err != nil {
		unreadable(e.Path(), "address", e.IP.Name)
		return
	}
	if t.addresses == nil {
		t.addresses = map[netip.Addr]float64{}
	}
	t.addresses[a.Unmap()] = perSecond
}

// limits of an address, +Inf without one.
func (t *Table) ofAddress(a netip.Addr) float64 {
	if v, ok := t.addresses[a]; ok {
		return v
	}
	return t.anyAddress
}

// tags name who is measured together; an empty part stands for all.
type tags struct{ user, clientID string }

// find looks for the quota of a client. The order is Kafka's.
func (t *Table) find(k Kind, user, clientID string) (limit float64, who tags, ok bool) {
	if len(t.limits[k]) == 0 {
		return 0, tags{}, false
	}
	who = t.level(k, user, clientID)
	limit, ok = t.limit(k, who)
	return limit, who, ok
}

// level tells who is measured together, by the first level that has a quota.
func (t *Table) level(k Kind, user, clientID string) tags {
	u, c, any := metadata.NamedQuota(user), metadata.NamedQuota(clientID), metadata.DefaultQuota()
	both, users, clients := tags{user, clientID}, tags{user: user}, tags{clientID: clientID}
	for _, l := range [...]struct {
		e   metadata.QuotaEntity
		who tags
	}{
		{metadata.QuotaEntity{User: u, ClientID: c}, both},
		{metadata.QuotaEntity{User: u, ClientID: any}, both},
		{metadata.QuotaEntity{User: u}, users},
		{metadata.QuotaEntity{User: any, ClientID: c}, both},
		{metadata.QuotaEntity{User: any, ClientID: any}, both},
		{metadata.QuotaEntity{User: any}, users},
	} {
		if _, ok := t.limits[k][l.e]; ok {
			return l.who
		}
	}
	return clients
}

// limit is the quota of those who are measured together. A client without an id counts
// only as its user, which is why this is a search of its own.
func (t *Table) limit(k Kind, who tags) (float64, bool) {
	u, c, any := metadata.NamedQuota(who.user), metadata.NamedQuota(who.clientID), metadata.DefaultQuota()
	var order []metadata.QuotaEntity
	switch {
	case who.user != "" && who.clientID != "":
		order = []metadata.QuotaEntity{{User: u, ClientID: c}, {User: u, ClientID: any}, {User: any, ClientID: c}, {User: any, ClientID: any}}
	case who.user != "":
		order = []metadata.QuotaEntity{{User: u}, {User: any}}
	case who.clientID != "":
		order = []metadata.QuotaEntity{{ClientID: c}, {ClientID: any}}
	}
	for _, e := range order {
		if v, ok := t.limits[k][e]; ok {
			return v, true
		}
	}
	return 0, false
}
