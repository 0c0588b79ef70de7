package journal

// ReadConsumer reads a record of a group of the new protocol; a nil value is a tombstone.
// A key of another kind is a *FormatError.
func ReadConsumer(key, value []byte) (ConsumerRecord, error) {
	r := reader{what: "consumer group key", b: key}
	c := ConsumerRecord{Kind: Kind(r.int16("kind")), Deleted: value == nil}
	if !c.Kind.IsConsumer() {
		r.fail("kind %d belongs to no group of the new protocol", c.Kind)
	}
	c.Group = r.string("group")
	if c.Kind.hasName() {
		c.Name = r.string("member id or regular expression")
	}
	if err := r.end(); err != nil || c.Deleted {
		return c, err
	}
	r = reader{what: consumerValues(c.Kind), b: value}
	if version := r.int16("version"); version != 0 {
		r.fail("version %d is not known (0 is)", version)
	}
	r.flex = true
	r.consumer(&c)
	return c, r.end()
}

func consumerValues(k Kind) string {
	switch k {
	case KindConsumerGroup:
		return "ConsumerGroupMetadataValue"
	case KindConsumerTopics:
		return "ConsumerGroupPartitionMetadataValue"
	case KindConsumerMember:
		return "ConsumerGroupMemberMetadataValue"
	case KindConsumerTargetEpoch:
		return "ConsumerGroupTargetAssignmentMetadataValue"
	case KindConsumerTarget:
		return "ConsumerGroupTargetAssignmentMemberValue"
	case KindConsumerCurrent:
		return "ConsumerGroupCurrentMemberAssignmentValue"
	}
	return "ConsumerGroupRegularExpressionValue"
}

func (r *reader) consumer(c *ConsumerRecord) {
	switch c.Kind {
	case KindConsumerGroup, KindConsumerTargetEpoch:
		c.Epoch = r.int32("epoch")
	case KindConsumerTopics:
		c.Topics = r.consumerTopics()
	case KindConsumerMember:
		c.Member = r.consumerMember()
		return // it has read its tags
	case KindConsumerTarget:
		c.Target = r.partitions("topic partitions")
	case KindConsumerCurrent:
		c.Current = &ConsumerCurrent{
			MemberEpoch:         r.int32("member epoch"),
			PreviousMemberEpoch: r.int32("previous member epoch"),
			State:               r.int8("state"),
			Assigned:            r.partitions("assigned partitions"),
			PendingRevocation:   r.partitions("partitions pending revocation"),
		}
	case KindConsumerRegex:
		c.Regex = &ConsumerRegex{Topics: r.strings("topics"), Version: r.int64("version"), TimestampMs: r.int64("timestamp")}
	}
	r.skipTags()
}

func (r *reader) int8(field string) int8 {
	if b := r.take(1, field); b != nil {
		return int8(b[0])
	}
	return 0
}

func (r *reader) uuid(field string) (id [16]byte) {
	copy(id[:], r.take(len(id), field))
	return id
}

func (r *reader) strings(field string) []string {
	list := []string{}
	for n := r.count(1, field); n > 0 && r.err == nil; n-- {
		list = append(list, r.string(field))
	}
	return list
}

func (r *reader) partitions(field string) []TopicPartitions {
	list := []TopicPartitions{}
	for n := r.count(18, field); n > 0 && r.err == nil; n-- {
		tp := TopicPartitions{TopicID: r.uuid(field)}
		for k := r.count(4, field); k > 0 && r.err == nil; k-- {
			tp.Partitions = append(tp.Partitions, r.int32(field))
		}
		r.skipTags()
		list = append(list, tp)
	}
	return list
}

func (r *reader) consumerTopics() []ConsumerTopic {
	list := []ConsumerTopic{}
	for n := r.count(23, "topics"); n > 0 && r.err == nil; n-- {
		t := ConsumerTopic{ID: r.uuid("topic id"), Name: r.string("topic name"), NumPartitions: r.int32("number of partitions")}
		for k := r.count(6, "partition metadata"); k > 0 && r.err == nil; k-- { // racks, written before Kafka 4
			r.int32("partition")
			r.strings("racks")
			r.skipTags()
		}
		r.skipTags()
		list = append(list, t)
	}
	return list
}

func (r *reader) consumerMember() *ConsumerMember {
	m := new(ConsumerMember)
	m.InstanceID, _ = r.nullString("instance id")
	m.RackID, _ = r.nullString("rack id")
	m.ClientID, m.ClientHost = r.string("client id"), r.string("client host")
	m.SubscribedTopicNames = r.strings("subscribed topic names")
	m.SubscribedTopicRegex, _ = r.nullString("subscribed topic regex")
	m.RebalanceTimeoutMs = r.int32("rebalance timeout")
	m.ServerAssignor, _ = r.nullString("server assignor")
	n := int(r.uvarint("tags"))
	if n > len(r.b)/2 {
		r.fail("%d tags, %d bytes are left", n, len(r.b))
	}
	for ; n > 0 && r.err == nil; n-- {
		tag := r.uvarint("tag")
		content := reader{what: r.what, b: r.take(int(r.uvarint("tag size")), "tag"), flex: true, err: r.err}
		if tag == 0 && r.err == nil {
			if content.uvarint("classic member metadata") > 0 {
				m.Classic = content.classic()
			}
			r.err = content.end()
		}
	}
	return m
}

func (r *reader) classic() *ConsumerClassic {
	c := &ConsumerClassic{SessionTimeoutMs: r.int32("session timeout"), Protocols: []ClassicProtocol{}}
	for n := r.count(3, "supported protocols"); n > 0 && r.err == nil; n-- {
		c.Protocols = append(c.Protocols, ClassicProtocol{Name: r.string("protocol name"), Metadata: r.bytes("protocol metadata")})
		r.skipTags()
	}
	r.skipTags()
	return c
}
