// Package record holds Kafka's record batch, version 2, as a view over bytes: header access,
// CRC, validation, stamping, iteration and building. The batch on disk is the batch on the
// wire, so no part of the produce or fetch path turns one into objects.
//
// Invariants:
//   - A Batch is exactly one complete batch of magic 2: it comes from Next, from a Builder, or
//     its bytes went through Validate. Accessors trust that and do not check lengths again.
//   - The CRC (CRC-32C) covers byte 21 to the end: Stamp may change the base offset (bytes 0-7)
//     and the leader epoch (bytes 12-15) and keeps it valid; SetAppendTime and SetMaxTimestamp
//     compute it anew.
//   - Nothing read from a batch makes memory be taken before it is checked: lengths and counts
//     are held against the bytes that are there, decompressed output against a bound.
//   - Validate allocates nothing for an uncompressed batch; Stamp and the accessors never do.
//
// Who calls what: the engine validates and stamps on append and walks batches with Next in
// recovery; segment peeks sizes while it reads; replication and broker hand Batches through;
// tools and tests build them with Builder and read them with Iterate.
//
// docs/format/record-batch.md shows the layout. Codecs are in package compress.
package record
