// Package doctor is "millrace doctor": what is wrong with a broker, or will be, ranked,
// each finding with its remedy. It looks at a running node through its Kafka port and its
// admin port, at the server.properties it is given, and at the machine when that is the
// node's own.
//
// It is in two halves. gather*.go ask, and put what they learned into facts; what could
// not be asked stays absent there. judge*.go decide, and are pure: facts in, findings out,
// no clock, network or file. Nothing is changed but that a small file is written, synced and
// removed in each log directory, to measure the disk (not with --no-write).
//
// The Kafka half works against any Kafka; the admin port is Millrace's.
package doctor
