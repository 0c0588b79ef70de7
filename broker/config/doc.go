// Package config is the one catalogue of settings: every key once, with its type, default,
// unit, scope, validation and documentation. server.properties, --override, the
// environment, dynamic settings, topic settings, DescribeConfigs and docs/config.md all
// come from it.
//
// Load reads the static settings and says everything that is wrong with them at once. Its
// Config is immutable; WithDynamic returns one that has the dynamic settings of an image
// on top. Broker holds the typed values of the keys that act on the broker, Topic those of
// one topic.
//
// Order of precedence: topic setting, dynamic setting of the broker, dynamic setting of
// all brokers, --override, environment, file, default. Where Kafka has several keys for
// one value the finer one wins: ms over minutes over hours, log.dirs over log.dir.
//
// A key that Kafka has and that has no effect here says so in NoEffect: setting it is
// accepted with a warning. An unknown key is a warning with a suggestion.
//
//go:generate go test -run TestDocumentation -update .
package config
