package protocol

// ProduceInput is a Produce request in the shape that the append path wants: one flat list
// of partitions, whose place in the list is the slot that its result comes back to, with
// records that alias the input. It is the hand-shaped twin of ProduceRequest; the two are
// compared with each other in tests.
//
// A connection keeps ProduceInputs and decodes again and again into them: with an Interner
// that knows the topic names, that does not allocate. The input must stay untouched until
// Reset or the next Decode.
type ProduceInput struct {
	Version         int16
	TransactionalID NullString
	Acks            int16
	TimeoutMs       int32
	Topics          []ProduceTopic
	Partitions      []ProducePartition
}

// ProduceTopic is a topic of a ProduceInput: partitions First to First+Count-1.
type ProduceTopic struct {
	Name         string // versions 3-12
	ID           UUID   // versions 13+
	First, Count int32
}

// ProducePartition is one slot of a ProduceInput.
type ProducePartition struct {
	Topic   int32  // place in Topics
	Index   int32  // partition number
	Records []byte // aliases the input; nil is null
}

// Decode reads the whole of b. names, which may be nil, is asked for topic names and the
// transactional id. The error is a *DecodeError.
func (p *ProduceInput) Decode(b []byte, version int16, names Interner) error {
	r := reader{b: b, version: version, flex: version >= 9, api: "ProduceRequest", names: names}
	p.Version = version
	p.Topics, p.Partitions = p.Topics[:0], p.Partitions[:0]
	api := &apis[apiIndex(KeyProduce)]
	if version < api.Min || version > api.Max {
		r.fail("", reasonVersion)
		return r.finish()
	}
	p.TransactionalID = r.nullName(true, "TransactionalID")
	p.Acks = r.int16("Acks")
	p.TimeoutMs = r.int32("TimeoutMs")
	n := r.array(minProduceRequestTopic(version), false, "TopicData")
	for i := 0; i < n && r.err == nil; i++ {
		p.Topics = extend(p.Topics, n)
		p.decodeTopic(&r, &p.Topics[i], int32(i))
	}
	r.skipTags("tags")
	return r.finish()
}

func (p *ProduceInput) decodeTopic(r *reader, t *ProduceTopic, at int32) {
	*t = ProduceTopic{First: int32(len(p.Partitions))}
	if r.version <= 12 {
		t.Name = r.name("TopicData.Name")
	} else {
		t.ID = r.uuid("TopicData.TopicID")
	}
	n := r.array(minProduceRequestPartition(r.version), false, "TopicData.PartitionData")
	for i := 0; i < n && r.err == nil; i++ {
		p.Partitions = extend(p.Partitions, n)
		part := &p.Partitions[len(p.Partitions)-1]
		part.Topic = at
		part.Index = r.int32("TopicData.PartitionData.Index")
		part.Records = r.bytes(true, "TopicData.PartitionData.Records")
		r.skipTags("TopicData.PartitionData.tags")
	}
	t.Count = int32(len(p.Partitions)) - t.First
	r.skipTags("TopicData.tags")
}

// Reset drops the references to the input, so that its memory can go.
func (p *ProduceInput) Reset() {
	clear(p.Partitions)
	clear(p.Topics)
	p.Topics, p.Partitions, p.TransactionalID = p.Topics[:0], p.Partitions[:0], NullString{}
}

// ProduceOutcome is the result of one slot.
type ProduceOutcome struct {
	ErrorCode       ErrorCode
	BaseOffset      int64
	LogAppendTimeMs int64 // -1 unless the topic has LogAppendTime
	LogStartOffset  int64
	RecordErrors    []ProduceResponseRecordError // versions 8+
	ErrorMessage    string                       // versions 8+; "" travels as null
	CurrentLeader   *ProduceResponseLeader       // versions 10+; nil: not sent
}

// Fail makes o the result of a refused batch.
func (o *ProduceOutcome) Fail(code ErrorCode, message string) {
	*o = ProduceOutcome{ErrorCode: code, BaseOffset: -1, LogAppendTimeMs: -1, LogStartOffset: -1, ErrorMessage: message}
}

// AppendResponse appends the body of the response to p. outcomes has one element for each
// of p.Partitions, in the same order; nodes is for versions 10+, the endpoints of the
// leaders that outcomes name. It does not allocate beyond dst.
func (p *ProduceInput) AppendResponse(dst []byte, outcomes []ProduceOutcome, throttleMs int32, nodes []ProduceResponseNodeEndpoint) []byte {
	version, flex := p.Version, p.Version >= 9
	dst = appendCount(dst, len(p.Topics), false, flex)
	for i := range p.Topics {
		t := &p.Topics[i]
		if version <= 12 {
			dst = appendString(dst, t.Name, flex)
		} else {
			dst = appendUUID(dst, t.ID)
		}
		dst = appendCount(dst, int(t.Count), false, flex)
		for slot := t.First; slot < t.First+t.Count; slot++ {
			dst = outcomes[slot].append(dst, p.Partitions[slot].Index, version, flex)
		}
		if flex {
			dst = append(dst, 0)
		}
	}
	dst = appendInt32(dst, throttleMs)
	if !flex {
		return dst
	}
	if len(nodes) == 0 || version < 10 {
		return append(dst, 0)
	}
	dst = append(dst, 1, 0)
	start := len(dst)
	dst = appendCount(dst, len(nodes), false, flex)
	for i := range nodes {
		dst = nodes[i].append(dst, version, flex)
	}
	return endTag(dst, start)
}

func (o *ProduceOutcome) append(dst []byte, index int32, version int16, flex bool) []byte {
	dst = appendInt32(dst, index)
	dst = appendErrorCode(dst, o.ErrorCode)
	dst = appendInt64(dst, o.BaseOffset)
	dst = appendInt64(dst, o.LogAppendTimeMs)
	if version >= 5 {
		dst = appendInt64(dst, o.LogStartOffset)
	}
	if version >= 8 {
		dst = appendCount(dst, len(o.RecordErrors), false, flex)
		for i := range o.RecordErrors {
			dst = o.RecordErrors[i].append(dst, version, flex)
		}
		dst = appendNullString(dst, StrOrNull(o.ErrorMessage), true, flex)
	}
	switch {
	case !flex:
		return dst
	case o.CurrentLeader == nil || version < 10:
		return append(dst, 0)
	}
	dst = append(dst, 1, 0)
	start := len(dst)
	dst = o.CurrentLeader.append(dst, version, flex)
	return endTag(dst, start)
}
