package jute

// NewRequest returns an empty record for the body of a request, nil when the operation has
// none (ping, closeSession, whoAmI) or is unknown; Known tells these apart.
func NewRequest(op OpCode) Record {
	switch op {
	case OpCreate, OpCreate2, OpCreateContainer:
		return &CreateRequest{}
	case OpCreateTTL:
		return &CreateTTLRequest{}
	case OpDelete, OpCheck:
		return &PathVersion{}
	case OpExists, OpGetData, OpGetChildren, OpGetChildren2:
		return &PathWatch{}
	case OpSetData:
		return &SetDataRequest{}
	case OpGetACL, OpSync, OpGetEphemerals, OpGetAllChildrenNumber, OpDeleteContainer:
		return &PathOnly{}
	case OpSetACL:
		return &SetACLRequest{}
	case OpMulti, OpMultiRead:
		return &MultiRequest{}
	case OpReconfig:
		return &ReconfigRequest{}
	case OpCheckWatches, OpRemoveWatches:
		return &WatchesRequest{}
	case OpAuth:
		return &AuthPacket{}
	case OpSetWatches:
		return &SetWatches{}
	case OpSetWatches2:
		return &SetWatches2{}
	case OpSASL:
		return &SASLToken{}
	case OpAddWatch:
		return &AddWatchRequest{}
	}
	return nil
}

// NewResponse returns an empty record for the body of an answer without error, nil when the
// operation has none.
func NewResponse(op OpCode) Record {
	switch op {
	case OpNotification:
		return &WatcherEvent{}
	case OpCreate, OpSync:
		return &PathOnly{}
	case OpCreate2, OpCreateContainer, OpCreateTTL:
		return &Create2Response{}
	case OpExists, OpSetData, OpSetACL, OpCheck:
		return &StatResponse{}
	case OpGetData, OpReconfig:
		return &DataResponse{}
	case OpGetACL:
		return &GetACLResponse{}
	case OpGetChildren, OpGetEphemerals:
		return &StringsResponse{}
	case OpGetChildren2:
		return &GetChildren2Response{}
	case OpMulti, OpMultiRead:
		return &MultiResponse{}
	case OpSASL:
		return &SASLToken{}
	case OpGetAllChildrenNumber:
		return &GetAllChildrenNumberResponse{}
	case OpAddWatch:
		return &ErrorResponse{}
	case OpWhoAmI:
		return &WhoAmIResponse{}
	}
	return nil
}

// Known tells whether clients may send op.
func Known(op OpCode) bool {
	switch op {
	case OpPing, OpCloseSession, OpWhoAmI:
		return true
	}
	return NewRequest(op) != nil
}
