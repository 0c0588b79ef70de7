package schema

import (
	"embed"
	"fmt"
	"math"
	"sort"
)

//go:embed apis/*.api
var files embed.FS

// Range is an inclusive range of versions. The zero Range holds version 0 only; None
// holds nothing.
type Range struct{ Min, Max int16 }

// None is the empty range.
var None = Range{Min: 0, Max: -1}

// Has reports whether v lies in r.
func (r Range) Has(v int16) bool { return r.Min <= v && v <= r.Max }

// Empty reports whether r holds no version.
func (r Range) Empty() bool { return r.Max < r.Min }

// Intersect returns the versions that are in both.
func (r Range) Intersect(o Range) Range {
	r.Min, r.Max = max(r.Min, o.Min), min(r.Max, o.Max)
	if r.Empty() {
		return None
	}
	return r
}

// String returns "4-18", or "4" for a single version.
func (r Range) String() string {
	if r.Empty() {
		return "none"
	}
	if r.Min == r.Max {
		return fmt.Sprint(r.Min)
	}
	return fmt.Sprintf("%d-%d", r.Min, r.Max)
}

// Kind is the wire type of a field, or of the elements of an array field.
type Kind string

// The kinds of the notation.
const (
	Bool    Kind = "bool"
	Int8    Kind = "int8"
	Int16   Kind = "int16"
	Int32   Kind = "int32"
	Int64   Kind = "int64"
	Uint16  Kind = "uint16"
	Uint32  Kind = "uint32"
	Float64 Kind = "float64"
	String  Kind = "string"
	Name    Kind = "name" // a string that decoders may intern: it comes again and again
	Bytes   Kind = "bytes"
	Records Kind = "records"
	UUID    Kind = "uuid"
	Error   Kind = "error" // an int16 error code
	Struct  Kind = "struct"
)

// FixedSize returns the encoded size of a kind of fixed size, and 0 for others.
func (k Kind) FixedSize() int {
	switch k {
	case Bool, Int8:
		return 1
	case Int16, Uint16, Error:
		return 2
	case Int32, Uint32:
		return 4
	case Int64, Float64:
		return 8
	case UUID:
		return 16
	}
	return 0
}

// Field is one field of a struct, in wire order.
type Field struct {
	Name     string
	Kind     Kind
	Array    bool
	Type     string // Kind Struct: the struct's short name
	Versions Range
	Null     Range   // versions in which null is allowed; a subset of Versions
	Tag      int     // number of a tagged field, -1 for others
	Default  string  // Go literal; "" for the zero value (null for nullable fields)
	Doc      string  // one line, may be empty
	Fields   []Field // Kind Struct
}

// Nullable reports whether any version of the field may be null.
func (f *Field) Nullable() bool { return !f.Null.Empty() }

// Tagged reports whether f travels in the tag section.
func (f *Field) Tagged() bool { return f.Tag >= 0 }

// Limits of a request's size that are not a number of bytes.
const SocketLimit = 0

// API is one row of the table.
type API struct {
	Name          string
	Key           int16
	Versions      Range // served
	AdvertisedMin int16 // lowest version that ApiVersions lists
	FlexibleFrom  int16 // first version with compact types and tags; math.MaxInt16 if none
	LimitBytes    int   // largest request; SocketLimit: socket.request.max.bytes alone
	Notes         []string
	Request       []Field
	Response      []Field
}

// Flexible reports whether the body of version v uses compact types and tags.
func (a *API) Flexible(v int16) bool { return v >= a.FlexibleFrom }

// NeverFlexible is FlexibleFrom of an API without flexible versions.
const NeverFlexible = math.MaxInt16

// Load parses the table; the result is sorted by key. An error names file and line.
func Load() ([]API, error) {
	entries, err := files.ReadDir("apis")
	if err != nil {
		return nil, err
	}
	var apis []API
	seen := map[int16]string{}
	for _, e := range entries {
		text, err := files.ReadFile("apis/" + e.Name())
		if err != nil {
			return nil, err
		}
		a, err := Parse(e.Name(), string(text))
		if err != nil {
			return nil, err
		}
		if other, dup := seen[a.Key]; dup {
			return nil, fmt.Errorf("%s: key %d is already that of %s", e.Name(), a.Key, other)
		}
		seen[a.Key] = a.Name
		apis = append(apis, a)
	}
	sort.Slice(apis, func(i, j int) bool { return apis[i].Key < apis[j].Key })
	return apis, nil
}

// MinSize returns the smallest encoding of one value of f (of one element when elem is
// true), in version v.
func (f *Field) MinSize(v int16, flexible, elem bool) int {
	if f.Array && !elem {
		return lengthSize(4, flexible)
	}
	switch f.Kind {
	case Struct:
		if !elem && f.Null.Has(v) {
			return 1
		}
		return StructMinSize(f.Fields, v, flexible)
	case String, Name:
		return lengthSize(2, flexible)
	case Bytes, Records:
		return lengthSize(4, flexible)
	}
	return f.Kind.FixedSize()
}

// StructMinSize returns the smallest encoding of a struct with these fields.
func StructMinSize(fields []Field, v int16, flexible bool) int {
	size := 0
	for i := range fields {
		if f := &fields[i]; f.Versions.Has(v) && !f.Tagged() {
			size += f.MinSize(v, flexible, false)
		}
	}
	if flexible {
		size++ // the count of tags
	}
	return size
}

func lengthSize(classic int, flexible bool) int {
	if flexible {
		return 1
	}
	return classic
}
