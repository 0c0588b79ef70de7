package tree

// step is what one transaction does until it is whole. A multi that fails is taken back from
// its notes; other transactions are judged before they change anything and take none.
type step struct {
	zxid    int64
	changed bool
	out     Outcome

	recording bool
	notes     []undo
	saved     []byte // records as they were, for the notes
	// What the step let go is free only when it stands, so that a number that a note holds
	// stays good.
	freeACLs  []uint32
	freeNodes []nodeID
	freeBlobs []uint32
	freeDirs  []uint32
	fewLeft   []nodeID // nodes whose directory has few children left
	before    totals
}

// totals are the sums that are simply put back.
type totals struct {
	nodes  int
	bytes  int64
	digest uint64
}

type undoKind uint8

const (
	undoChange   undoKind = iota // node's record was another
	undoCreate                   // node was made, as the last child of its parent
	undoDelete                   // node was deleted at position at of its parent's children
	undoQuotaOn                  // path got a quota
	undoQuotaOff                 // path lost one
)

type undo struct {
	kind undoKind
	node nodeID
	from int // undoChange and undoDelete: its record is saved[from:to]
	to   int
	at   int
	path string
	acl  bool // undoChange: node has a list of its own by now
}

func (s *State) note(u undo) {
	if s.step.recording {
		s.step.notes = append(s.step.notes, u)
	}
}

// save is called before a node changes.
func (s *State) save(n *node) { s.saveWith(n, false) }

func (s *State) saveWith(n *node, newACL bool) {
	if s.step.recording {
		s.noteRecord(undo{kind: undoChange, node: n.id, acl: newACL})
	}
}

// noteRecord notes u with the record that its node has.
func (s *State) noteRecord(u undo) {
	u.from = len(s.step.saved)
	s.step.saved = append(s.step.saved, s.recs.Get(u.node)...)
	u.to = len(s.step.saved)
	s.step.notes = append(s.step.notes, u)
}

// discard deletes the record of a node that had a position among its parent's children.
func (s *State) discard(n *node, at int) {
	s.releaseBlob(n.blob)
	s.releaseDir(n.dir)
	if s.step.recording {
		s.noteRecord(undo{kind: undoDelete, node: n.id, at: at})
		s.recs.Delete(n.id)
		s.step.freeNodes = append(s.step.freeNodes, n.id)
		return
	}
	s.recs.Delete(n.id)
	s.recs.Release(n.id)
}

// releaseACL is called when a node does not use a list any more.
func (s *State) releaseACL(list uint32) {
	if s.step.recording {
		s.step.freeACLs = append(s.step.freeACLs, list)
		return
	}
	s.acls.release(list)
}

// releaseBlob is called when a node does not use a blob any more; 0 is none.
func (s *State) releaseBlob(number uint32) {
	switch {
	case number == 0:
	case s.step.recording:
		s.step.freeBlobs = append(s.step.freeBlobs, number)
	default:
		s.blobs.remove(number)
	}
}

// releaseDir is called when a node is gone that had a directory; 0 is none.
func (s *State) releaseDir(number uint32) {
	switch {
	case number == 0:
	case s.step.recording:
		s.step.freeDirs = append(s.step.freeDirs, number)
	default:
		s.dirs.remove(number)
	}
}

// record begins to take notes.
func (s *State) record() {
	s.step.recording = true
	s.step.before = totals{s.nodes, s.bytes, s.digest}
}

// commit ends the notes: what was done stands.
func (s *State) commit() {
	st := &s.step
	st.recording = false
	for _, id := range st.fewLeft {
		if d := s.dirOf(id); d != nil && len(d.list) <= fewKids/2 {
			var n node
			s.load(id, &n)
			s.undirect(&n)
			s.store(&n)
		}
	}
	for _, list := range st.freeACLs {
		s.acls.release(list)
	}
	for _, id := range st.freeNodes {
		s.recs.Release(id)
	}
	for _, number := range st.freeBlobs {
		s.blobs.remove(number)
	}
	for _, number := range st.freeDirs {
		s.dirs.remove(number)
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
	st := &s.step
	st.recording = false
	clear(st.notes)
	st.notes, st.saved = st.notes[:0], st.saved[:0]
	st.freeACLs, st.freeNodes, st.freeBlobs, st.freeDirs = st.freeACLs[:0], st.freeNodes[:0], st.freeBlobs[:0], st.freeDirs[:0]
	st.fewLeft = st.fewLeft[:0]
	if cap(st.saved) > maxScratchBytes {
		st.saved = nil
	}
	if cap(st.notes) > maxScratch {
		st.notes, st.freeACLs, st.freeNodes, st.freeBlobs, st.freeDirs, st.fewLeft = nil, nil, nil, nil, nil, nil
	}
}

// takeBack undoes one note. The children of a node that are in its record come back with it,
// those in a directory one by one.
func (s *State) takeBack(u *undo) {
	var n node
	switch u.kind {
	case undoChange:
		s.takeBackChange(u)
	case undoCreate:
		s.load(u.node, &n)
		if d := s.dirOf(n.up); d != nil {
			s.removeAt(d, len(d.list)-1)
		}
		s.disown(n.id, n.owner)
		s.acls.release(n.acl)
		s.releaseBlob(n.blob)
		s.recs.Delete(n.id)
		s.recs.Release(n.id)
	case undoDelete:
		s.recs.Put(u.node, s.step.saved[u.from:u.to])
		s.load(u.node, &n)
		if d := s.dirOf(n.up); d != nil {
			s.insertAt(d, n.id, u.at)
		}
		s.register(n.id, n.owner)
	case undoQuotaOn:
		delete(s.quotas, u.path)
	case undoQuotaOff:
		s.quotas[u.path] = struct{}{}
	}
}

// takeBackChange gives a node its old record, and lets go what only the new one has.
func (s *State) takeBackChange(u *undo) {
	var now, was node
	now.unpack(s.recs.Get(u.node))
	was.unpack(s.step.saved[u.from:u.to])
	if u.acl {
		s.acls.release(now.acl)
	}
	if now.blob != was.blob {
		s.releaseBlob(now.blob)
	}
	if now.dir != was.dir {
		s.releaseDir(now.dir)
	}
	s.recs.Put(u.node, s.step.saved[u.from:u.to])
}

// dirOf returns the directory of a node's children, nil if it has none or is deleted.
func (s *State) dirOf(id nodeID) *directory {
	var n node
	if s.recs.Has(id) {
		n.unpack(s.recs.Get(id))
	}
	if n.dir == 0 {
		return nil
	}
	return s.dirs.list[n.dir]
}
