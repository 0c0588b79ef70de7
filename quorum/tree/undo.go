package tree

// step is what one transaction does until it is whole. A multi that fails is taken back from
// its notes; other transactions are judged before they change anything and take none.
type step struct {
	zxid    int64
	changed bool
	out     Outcome

	recording bool
	notes     []undo
	// released are ACLs with a user less: only when the step stands, so that a number that a
	// note holds stays good.
	released []uint32
	before   totals
}

// totals are the sums that are simply put back.
type totals struct {
	nodes  int
	bytes  int64
	digest uint64
}

type undoKind uint8

const (
	undoChange   undoKind = iota // node was was
	undoCreate                   // node was made, as the last child of its parent
	undoDelete                   // node was deleted at position at
	undoQuotaOn                  // path got a quota
	undoQuotaOff                 // path lost one
)

type undo struct {
	kind undoKind
	node *node
	was  node
	more more // if was.more is not nil
	at   int
	path string
	acl  bool // undoChange: node has a list of its own by now
}

func (s *State) note(u undo) {
	if s.step.recording {
		s.step.notes = append(s.step.notes, u)
	}
}

// save is called before a node changes in itself (its children apart).
func (s *State) save(n *node) { s.saveWith(n, false) }

func (s *State) saveWith(n *node, newACL bool) {
	if !s.step.recording {
		return
	}
	u := undo{kind: undoChange, node: n, was: *n, acl: newACL}
	if n.more != nil {
		u.more = *n.more
	}
	s.step.notes = append(s.step.notes, u)
}

// releaseACL is called when a node does not use a list any more.
func (s *State) releaseACL(list uint32) {
	if s.step.recording {
		s.step.released = append(s.step.released, list)
		return
	}
	s.acls.release(list)
}

// record begins to take notes.
func (s *State) record() {
	s.step.recording = true
	s.step.before = totals{s.nodes, s.bytes, s.digest}
}

// commit ends the notes: what was done stands.
func (s *State) commit() {
	for _, list := range s.step.released {
		s.acls.release(list)
	}
	s.forget()
}

// rollback takes back what was done since record.
func (s *State) rollback() {
	s.step.recording = false
	for i := len(s.step.notes) - 1; i >= 0; i-- {
		s.takeBack(&s.step.notes[i])
	}
	s.nodes, s.bytes, s.digest = s.step.before.nodes, s.step.before.bytes, s.step.before.digest
	s.forget()
}

func (s *State) forget() {
	s.step.recording = false
	clear(s.step.notes)
	s.step.notes, s.step.released = s.step.notes[:0], s.step.released[:0]
}

func (s *State) takeBack(u *undo) {
	switch u.kind {
	case undoChange:
		if u.acl {
			s.acls.release(u.node.acl.list())
		}
		now := u.node.more
		*u.node = u.was
		if u.was.more != nil {
			*now = u.more
		}
	case undoCreate:
		kids := u.node.up.more.kids
		kids.remove(s.seed, len(kids.list)-1)
		s.disown(u.node)
		s.acls.release(u.node.acl.list())
	case undoDelete:
		u.node.up.more.kids.insert(s.seed, u.node, u.at)
		s.register(u.node)
	case undoQuotaOn:
		delete(s.quotas, u.path)
	case undoQuotaOff:
		s.quotas[u.path] = struct{}{}
	}
}
