package protocol

import "fmt"

// DecodeError says where a header or body stopped making sense. The connection that sent
// it has to be closed: what follows cannot be trusted to be framed well.
type DecodeError struct {
	API     string // message name, for example "FetchRequest"
	Version int16
	Field   string // path of the field, for example "Topics.Partitions.FetchOffset"; may be ""
	Offset  int    // bytes into the body (or header) at which the field starts or runs out
	Reason  string
}

func (e *DecodeError) Error() string {
	field := e.Field
	if field != "" {
		field = "." + field
	}
	return fmt.Sprintf("decode %s%s version %d at byte %d: %s", e.API, field, e.Version, e.Offset, e.Reason)
}

const (
	reasonShort    = "the input ends early"
	reasonTrailing = "bytes are left over"
	reasonVarint   = "varint is longer than 32 bits"
	reasonNull     = "null or negative length where neither is allowed"
	reasonCount    = "more elements are claimed than the bytes left can hold"
	reasonTagSize  = "tagged field does not fill its size"
	reasonVersion  = "version is not served"
	reasonPresence = "presence marker is neither -1 nor 1"
)
