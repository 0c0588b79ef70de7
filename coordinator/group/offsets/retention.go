package offsets

// Rule says which offsets of a group may be forgotten, and from when their time counts.
type Rule struct {
	// Keep is a group whose offsets all stay, whatever their age.
	Keep bool
	// Subscribed topics are read by members: their offsets stay. Nil: none is.
	Subscribed func(topic string) bool
	// SinceMs, when not -1, is when the group lost its last member: time counts from then, not
	// from the commit. Unix time.
	SinceMs int64
}

// Expired returns the offsets whose time is over. An expiry that a client asked for with
// its commit counts instead of retentionMs. nowMs is Unix time.
func (t *Table) Expired(r Rule, nowMs, retentionMs int64) []TopicPartition {
	if r.Keep {
		return nil
	}
	return t.Keys(func(tp TopicPartition, c Committed) bool {
		if r.Subscribed != nil && r.Subscribed(tp.Topic) {
			return false
		}
		if c.ExpireTimeMs >= 0 {
			return nowMs >= c.ExpireTimeMs
		}
		base := c.CommitTimeMs
		if r.SinceMs >= 0 {
			base = r.SinceMs
		}
		return nowMs-base >= retentionMs
	})
}
