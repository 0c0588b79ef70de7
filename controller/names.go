package controller

import (
	"strings"

	"github.com/millrace/millrace/metadata"
)

const maxNameBytes = 249

// checkName holds Kafka's rules for topic names (common/internals/Topic.java).
func checkName(name string) error {
	bad := func(reason string) error { return refuse(InvalidTopic, "Topic name is invalid: %s", reason) }
	switch {
	case name == "":
		return bad("the empty string is not allowed")
	case name == "." || name == "..":
		return bad("'" + name + "' is not allowed")
	case len(name) > maxNameBytes:
		return bad("the length of '" + name + "' is longer than the max allowed length 249")
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-') {
			return bad("'" + name + "' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
		}
	}
	return nil
}

// ValidTopicName tells whether a topic may have this name.
func ValidTopicName(name string) bool { return checkName(name) == nil }

// Internal tells whether a topic belongs to the brokers themselves.
func Internal(name string) bool {
	switch name {
	case "__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata":
		return true
	}
	return false
}

// names is what a request for topics is checked against. A request may name ten thousand:
// each of them costs a lookup, not a walk over the others.
type names struct {
	asked map[string]int // how often the request names a topic
	taken map[string]string
}

func newNames(image *metadata.Image, request []NewTopic) *names {
	n := &names{asked: make(map[string]int, len(request)), taken: make(map[string]string)}
	for i := range request {
		n.asked[request[i].Name]++
	}
	for _, t := range image.Topics() {
		n.add(t.Name)
	}
	return n
}

// add notes a name of a topic that exists, or will.
func (n *names) add(name string) {
	if strings.ContainsAny(name, "._") {
		n.taken[strings.ReplaceAll(name, ".", "_")] = name
	}
}

// collides finds a topic whose name differs only in '.' and '_', which metrics cannot tell
// apart.
func (n *names) collides(name string) (string, bool) {
	if !strings.ContainsAny(name, "._") {
		return "", false
	}
	other, ok := n.taken[strings.ReplaceAll(name, ".", "_")]
	return other, ok && other != name
}
