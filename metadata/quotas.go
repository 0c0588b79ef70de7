package metadata

import (
	"maps"
	"strings"
)

// Where client quotas stand, as in Kafka: /config/users/U, /config/clients/C,
// /config/users/U/clients/C and /config/ips/I. A name is escaped (EscapeName), except that
// DefaultEntity stands for all that have no node of their own. The node of a user may hold
// other things too (SCRAM credentials).
const (
	UserConfigsPath   = "/config/users"
	ClientConfigsPath = "/config/clients"
	IPConfigsPath     = "/config/ips"
)

// The settings of an entity that are quotas: per second, and in percent of one CPU.
const (
	ProducerByteRate       = "producer_byte_rate"
	ConsumerByteRate       = "consumer_byte_rate"
	RequestPercentage      = "request_percentage"
	ControllerMutationRate = "controller_mutation_rate"
	ConnectionCreationRate = "connection_creation_rate" // of addresses
)

// QuotaName is one part of a QuotaEntity. The zero QuotaName is a part that the entity
// does not have.
type QuotaName struct {
	Set     bool
	Default bool // for all that have no quota of their own; Name is empty
	Name    string
}

// NamedQuota is the part with a name.
func NamedQuota(name string) QuotaName { return QuotaName{Set: true, Name: name} }

// DefaultQuota is the part that holds for everybody else.
func DefaultQuota() QuotaName { return QuotaName{Set: true, Default: true} }

func (n QuotaName) node() string {
	if n.Default {
		return DefaultEntity
	}
	return EscapeName(n.Name)
}

func quotaName(node string) (QuotaName, error) {
	if node == DefaultEntity {
		return DefaultQuota(), nil
	}
	name, err := UnescapeName(node)
	return NamedQuota(name), err
}

// QuotaEntity is whom a quota holds for: a user, a client id, both, or an address.
type QuotaEntity struct{ User, ClientID, IP QuotaName }

// Path is the node of the entity's settings.
func (e QuotaEntity) Path() string {
	switch {
	case e.IP.Set:
		return IPConfigsPath + "/" + e.IP.node()
	case e.User.Set && e.ClientID.Set:
		return UserConfigsPath + "/" + e.User.node() + "/clients/" + e.ClientID.node()
	case e.User.Set:
		return UserConfigsPath + "/" + e.User.node()
	}
	return ClientConfigsPath + "/" + e.ClientID.node()
}

// Parents are the nodes above Path that may not be there yet, from the top down.
func (e QuotaEntity) Parents() []string {
	if !e.User.Set || !e.ClientID.Set {
		return nil
	}
	user := UserConfigsPath + "/" + e.User.node()
	return []string{user, user + "/clients"}
}

// quotaEntity reads a path that Path wrote; ok is false for other paths.
func quotaEntity(path string) (e QuotaEntity, ok bool, err error) {
	parent, name := split(path)
	switch parent {
	case ClientConfigsPath:
		e.ClientID, err = quotaName(name)
		return e, true, err
	case IPConfigsPath:
		e.IP, err = quotaName(name)
		return e, true, err
	case UserConfigsPath:
		e.User, err = quotaName(name)
		return e, true, err
	}
	rest, of := strings.CutPrefix(parent, UserConfigsPath+"/")
	user, clients := strings.CutSuffix(rest, "/clients")
	if !of || !clients || strings.Contains(user, "/") {
		return e, false, nil
	}
	if e.User, err = quotaName(user); err == nil {
		e.ClientID, err = quotaName(name)
	}
	return e, true, err
}

// Quotas returns the settings of all entities that have some. They may hold more than quotas.
func (m *Image) Quotas() map[QuotaEntity]map[string]string { return m.quotas }

// quota folds a node that may be an entity's.
func (f *fold) quota(ev Event) error {
	e, ok, err := quotaEntity(ev.Path)
	if !ok || err != nil {
		return err
	}
	var settings map[string]string
	if ev.Kind != Deleted {
		if settings, err = DecodeConfig(ev.Data); err != nil {
			return err
		}
	}
	if _, had := f.next.quotas[e]; !had && len(settings) == 0 {
		return nil
	}
	if !f.quotas {
		f.next.quotas, f.quotas = maps.Clone(f.next.quotas), true
	}
	if f.next.quotas == nil {
		f.next.quotas = map[QuotaEntity]map[string]string{}
	}
	if len(settings) > 0 {
		f.next.quotas[e] = settings
	} else if delete(f.next.quotas, e); len(f.next.quotas) == 0 {
		f.next.quotas = nil
	}
	return nil
}
