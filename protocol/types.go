package protocol

// UUID is a topic id, directory id or other 16-byte id as it travels.
type UUID = [16]byte

// NullString is a string that can be null. The zero value is null.
type NullString struct {
	Value string
	Valid bool // false: null; Value is then ""
}

// Str returns s as a value that is not null.
func Str(s string) NullString { return NullString{Value: s, Valid: true} }

// StrOrNull returns null for the empty string, else s.
func StrOrNull(s string) NullString { return NullString{Value: s, Valid: s != ""} }

// Interner gives the one string for a name that occurs again and again, so that decoding
// it does not allocate. Intern must copy name if it keeps it.
type Interner interface {
	Intern(name []byte) string
}

// Message is a request or response body.
type Message interface {
	// APIKey is the key of the API that the message belongs to.
	APIKey() int16
	// Decode reads the whole of b, which bytes and records fields of the message alias.
	// The error is a *DecodeError.
	Decode(b []byte, version int16) error
	// Append appends the encoding in a version that the API serves.
	Append(dst []byte, version int16) []byte
}

// Names is an Interner that remembers up to a fixed number of names; it then forgets all
// and starts again, so that a client cannot grow it. It is not safe for concurrent use:
// one per connection.
type Names struct {
	names map[string]string
	bytes int
	last  string // many requests in a row name the same
}

const (
	maxNames     = 4096
	maxNameBytes = 1 << 20
)

// Intern implements Interner.
func (n *Names) Intern(name []byte) string {
	if n.last == string(name) {
		return n.last
	}
	if s, ok := n.names[string(name)]; ok {
		n.last = s
		return s
	}
	if n.names == nil || len(n.names) >= maxNames || n.bytes+len(name) > maxNameBytes {
		n.names, n.bytes = make(map[string]string), 0
	}
	s := string(name)
	n.names[s], n.last = s, s
	n.bytes += len(s)
	return s
}
