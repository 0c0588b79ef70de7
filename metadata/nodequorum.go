package metadata

import "github.com/millrace/millrace/quorum/node"

// NodeQuorum is a member of an ensemble as a TreeStore wants it.
func NodeQuorum(n *node.Node) Quorum { return nodeQuorum{n} }

type nodeQuorum struct{ *node.Node }

func (q nodeQuorum) Attach(s node.Sink) Handle { return q.Node.Attach(s) }
