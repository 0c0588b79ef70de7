package tree

// State is the tree, its sessions and counters at one zxid.
type State struct{}
