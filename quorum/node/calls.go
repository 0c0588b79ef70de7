package node

import (
	"context"
	"encoding/binary"
)

// callOp is what a server asks its leader, besides taking its transactions.
type callOp uint8

const (
	callReattach callOp = 1 // session(8) password; answer: timeout(4) generation(4) index(8)
	callReconfig callOp = 2 // version(8) three texts, each length(4) and bytes; answer: index(8)
	callTransfer callOp = 3 // nothing
)

// serveCall is the leader's side of a call.
func (r *reign) serveCall(op callOp, b *body) ([]byte, error) {
	switch op {
	case callReattach:
		session := int64(b.uint64())
		password := b.rest()
		if !b.ok {
			return nil, errFrame
		}
		a, index, err := r.reattach(session, password)
		if err != nil {
			return nil, err
		}
		out := binary.BigEndian.AppendUint32(nil, uint32(a.TimeoutMs))
		out = binary.BigEndian.AppendUint32(out, a.ConnGen)
		return binary.BigEndian.AppendUint64(out, index), nil
	case callReconfig:
		c := readChange(b)
		if err := b.err(); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(r.n.ctx)
		defer cancel()
		err := r.reconfig(ctx, c)
		return binary.BigEndian.AppendUint64(nil, r.n.applied.Load()), err
	case callTransfer:
		return nil, r.n.transfer()
	}
	return nil, errFrame
}

// askReattach is Reattach over the link.
func (n *Node) askReattach(ctx context.Context, l *link, session int64, password []byte) (Attached, error) {
	args := append(binary.BigEndian.AppendUint64(nil, uint64(session)), password...)
	answer, err := l.call(ctx, callReattach, args)
	if err != nil {
		return Attached{}, err
	}
	b := newBody(answer)
	a := Attached{TimeoutMs: int32(b.uint32()), ConnGen: b.uint32()}
	index := b.uint64()
	if err := b.err(); err != nil {
		return Attached{}, err
	}
	return a, n.awaitApplied(ctx, index)
}

// awaitApplied waits until the tree has got as far as index.
func (n *Node) awaitApplied(ctx context.Context, index uint64) error {
	for {
		n.gateMu.Lock()
		if n.applied.Load() >= index {
			n.gateMu.Unlock()
			return nil
		}
		if n.progress == nil {
			n.progress = make(chan struct{})
		}
		progress := n.progress
		n.gateMu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		case <-n.stop:
			return ErrClosed
		}
	}
}
