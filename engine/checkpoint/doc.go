// Package checkpoint reads and writes the small files of a Kafka log directory: the offset
// checkpoints, a partition's leader-epoch-checkpoint and partition.metadata, and the
// directory's meta.properties. Their bytes are Apache Kafka's, as versions from 1.0 write
// and read them.
//
// Invariants: a file is replaced atomically and durably (Replace), so a reader finds the
// old contents or the new ones; a parser is bounded by its input, which may be anything,
// and answers a *FormatError for what it does not understand. Parsing and rendering are
// pure; only Load and Replace touch files. Package engine calls it when a directory is
// opened, at checkpoint intervals and at close.
package checkpoint
