package journal

// SubscribedTopics reads the topics of a ConsumerProtocolSubscription, what members of
// protocol type "consumer" say of themselves (ConsumerProtocol.deserializeSubscription).
// Only what every version has is read; newer versions add fields behind it.
func SubscribedTopics(metadata []byte) ([]string, error) {
	r := reader{what: "ConsumerProtocolSubscription", b: metadata}
	if version := r.int16("version"); version < 0 {
		r.fail("version %d", version)
	}
	n := r.count(2, "topics")
	var topics []string
	for ; n > 0 && r.err == nil; n-- {
		topics = append(topics, r.string("topic"))
	}
	return topics, r.err
}
