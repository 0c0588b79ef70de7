package journal

// Group is the value of a classic group (GroupMetadataValue).
type Group struct {
	ProtocolType string
	Generation   int32
	Protocol     string // "" for null: no generation chose one yet
	Leader       string // "" for null
	// StateTimeMs is when the group came into its state, Unix time; -1 when not known.
	StateTimeMs int64
	Members     []Member
}

// Member is one member of a classic group.
type Member struct {
	ID string
	// InstanceID is "" for a dynamic member.
	InstanceID         string
	ClientID           string
	ClientHost         string
	RebalanceTimeoutMs int32
	SessionTimeoutMs   int32
	Subscription       []byte // its metadata for the group's protocol
	Assignment         []byte
}

// Versions of GroupMetadataValue: 1 brought the rebalance timeout, 2 the state's time, 3
// static members, 4 is flexible.
const (
	groupCurrent   = 3
	groupLastKnown = 4
)

// ReadGroup reads a value of any version.
func ReadGroup(value []byte) (Group, error) {
	r := reader{what: "GroupMetadataValue", b: value}
	g := Group{StateTimeMs: -1}
	version := r.int16("version")
	if version < 0 || version > groupLastKnown {
		r.fail("version %d is not known (0 to %d are)", version, groupLastKnown)
	}
	r.flex = version >= 4
	g.ProtocolType = r.string("protocol type")
	g.Generation = r.int32("generation")
	g.Protocol, _ = r.nullString("protocol")
	g.Leader, _ = r.nullString("leader")
	if version >= 2 {
		g.StateTimeMs = r.int64("state timestamp")
	}
	for n := r.count(memberMinBytes, "members"); n > 0 && r.err == nil; n-- {
		g.Members = append(g.Members, r.member(version))
	}
	r.skipTags()
	return g, r.end()
}

// memberMinBytes is less than any member takes in any version.
const memberMinBytes = 9

func (r *reader) member(version int16) Member {
	m := Member{ID: r.string("member id")}
	if version >= 3 {
		m.InstanceID, _ = r.nullString("group instance id")
	}
	m.ClientID, m.ClientHost = r.string("client id"), r.string("client host")
	m.RebalanceTimeoutMs = -1
	if version >= 1 {
		m.RebalanceTimeoutMs = r.int32("rebalance timeout")
	}
	m.SessionTimeoutMs = r.int32("session timeout")
	if m.RebalanceTimeoutMs < 0 {
		m.RebalanceTimeoutMs = m.SessionTimeoutMs
	}
	m.Subscription, m.Assignment = r.bytes("subscription"), r.bytes("assignment")
	r.skipTags()
	return m
}

// Append appends the value as Kafka writes it, version 3.
func (g *Group) Append(dst []byte) []byte {
	dst = appendInt16(dst, groupCurrent)
	dst = appendString(dst, g.ProtocolType)
	dst = appendInt32(dst, g.Generation)
	dst = appendNullString(dst, g.Protocol, g.Protocol != "")
	dst = appendNullString(dst, g.Leader, g.Leader != "")
	dst = appendInt64(dst, g.StateTimeMs)
	dst = appendInt32(dst, int32(len(g.Members)))
	for i := range g.Members {
		m := &g.Members[i]
		dst = appendString(dst, m.ID)
		dst = appendNullString(dst, m.InstanceID, m.InstanceID != "")
		dst = appendString(dst, m.ClientID)
		dst = appendString(dst, m.ClientHost)
		dst = appendInt32(dst, m.RebalanceTimeoutMs)
		dst = appendInt32(dst, m.SessionTimeoutMs)
		dst = appendBytes(dst, m.Subscription)
		dst = appendBytes(dst, m.Assignment)
	}
	return dst
}

// GroupRecord is the record that keeps a group.
func GroupRecord(group string, g *Group) Record {
	size := 64 + len(g.ProtocolType) + len(g.Protocol) + len(g.Leader)
	for i := range g.Members {
		m := &g.Members[i]
		size += 40 + len(m.ID) + len(m.InstanceID) + len(m.ClientID) + len(m.ClientHost) + len(m.Subscription) + len(m.Assignment)
	}
	return Record{Key: GroupKey(group), Value: g.Append(make([]byte, 0, size))}
}

// GroupTombstone is the record that forgets a group.
func GroupTombstone(group string) Record { return Record{Key: GroupKey(group)} }
