package protocol

import "iter"

// API is one row of the table of APIs that have codecs. Whether the broker serves one is
// another matter: that takes a handler in its own table.
type API struct {
	Key           int16
	Name          string
	Min, Max      int16 // versions that are read and written
	AdvertisedMin int16 // lowest version listed by ApiVersions
	FlexibleFrom  int16 // first version with compact types and tags
	// MaxRequestBytes bounds a request of this API; 0 means that only
	// socket.request.max.bytes does.
	MaxRequestBytes int
}

// Serves reports whether requests of this version are decoded.
func (a API) Serves(version int16) bool { return a.Min <= version && version <= a.Max }

// Flexible reports whether bodies of this version have compact types and tags.
func (a API) Flexible(version int16) bool { return version >= a.FlexibleFrom }

// Lookup returns the row of a key; false when the API has no codecs.
func Lookup(key int16) (API, bool) {
	if i := apiIndex(key); i >= 0 {
		return apis[i], true
	}
	return API{}, false
}

// APIs yields the table in the order of keys.
func APIs() iter.Seq[API] {
	return func(yield func(API) bool) {
		for _, a := range apis {
			if !yield(a) {
				return
			}
		}
	}
}

// RequestLimit returns the largest size of a request of this key, in bytes after the frame
// length. socketMax is socket.request.max.bytes; an unknown key gets the smallest cap.
func RequestLimit(key int16, socketMax int) int {
	limit := unknownRequestBytes
	if i := apiIndex(key); i >= 0 {
		limit = apis[i].MaxRequestBytes
	}
	if limit == 0 {
		return socketMax
	}
	return min(limit, socketMax)
}

const unknownRequestBytes = 64 << 10
