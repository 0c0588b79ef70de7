// Package apis proves the wire: every API at every version that the broker advertises, what
// each answers when something is wrong, the order of replies, and what hostile bytes cost.
//
// The tests speak over a connection of their own, so that the version of each request is
// theirs to choose. kmsg of franz-go encodes requests and decodes answers; an answer is
// encoded again and compared with what came, so that nothing in it is left unread. It takes
// a Kafka broker by BOOTSTRAP, as the other suites do; tests that need a configuration or a
// look at the process launch their own.
package apis
