// Package protocol is the Kafka wire protocol as the server needs it: headers and framing
// (header.go, frame.go), the table of APIs (api.go), error codes (errors.go), the
// generated codecs of all request and response bodies (zz_*.go, from protocol/schema by
// tools/protogen), and hand-shaped hot paths for Produce and Fetch (produce.go,
// fetch_response.go).
//
// The broker's connections call ParseRequestHeader, then Decode of the request's type; the
// handlers fill response structs; the connection calls AppendResponseHeader and Append.
//
// Invariants of every decoder:
//   - Bad input is a *DecodeError, never a panic. No count is believed before it was
//     checked against the bytes that are left, with the smallest encoding of an element in
//     that version; nothing is allocated before that check, and slices then grow as
//     elements are really there.
//   - The whole body must be used: trailing bytes are an error. Unknown tags are skipped.
//   - Fields that a version lacks get Kafka's default.
//   - Decoding into a used struct reuses its slices. After an error the struct's contents
//     are unspecified, and it may be used again.
//   - Byte fields (bytes, records) alias the input. Strings never do: they are copied, or
//     come from the Interner of DecodeInterned, which makes steady decoding free of
//     allocations for requests whose strings are topic names and the like.
//
// A nil slice is a null array (or null bytes) where the version allows null, else an empty
// one. A nil pointer is an absent struct. NullString's zero value is null.
package protocol

//go:generate go run ../tools/protogen -root ..
