package protocol

import (
	"encoding/binary"
	"fmt"
)

// RequestHeader stands in front of every request body.
type RequestHeader struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      string // "" when null
}

// ParseRequestHeader splits a frame (without its length) into header and body. Header
// version 1 or 2 follows from key and version; the tags of version 2 are skipped.
//
// The error is an *UnsupportedError when key or version are not served; h is then filled
// in as far as the client id, so that the connection can answer ApiVersions (see
// UnsupportedApiVersions) and log the others. Else it is a *DecodeError.
func ParseRequestHeader(b []byte) (h RequestHeader, body []byte, err error) {
	var p HeaderParser
	return p.Parse(b)
}

// HeaderParser parses the headers of one connection without allocating: a client sends
// the same client id each time. It is not safe for concurrent use.
type HeaderParser struct {
	clientID string
}

// Parse is ParseRequestHeader.
func (p *HeaderParser) Parse(b []byte) (h RequestHeader, body []byte, err error) {
	r := reader{b: b, api: "RequestHeader"}
	fixed := r.take(8, "Key, Version, CorrelationID")
	if r.err != nil {
		return h, nil, r.err
	}
	h.Key, h.Version = int16(binary.BigEndian.Uint16(fixed)), int16(binary.BigEndian.Uint16(fixed[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(fixed[4:]))
	r.version = 1
	clientID := r.take(max(r.counted(2, 1, true, "ClientID"), 0), "ClientID")
	if r.err != nil {
		return h, nil, r.err
	}
	if p.clientID != string(clientID) {
		p.clientID = string(clientID)
	}
	h.ClientID = p.clientID
	a, known := Lookup(h.Key)
	if !known || !a.Serves(h.Version) {
		return h, nil, &UnsupportedError{Key: h.Key, Version: h.Version, API: a, Known: known}
	}
	if a.Flexible(h.Version) {
		r.version, r.flex = 2, true
		r.skipTags("tags")
	}
	if r.err != nil {
		return h, nil, r.err
	}
	return h, b[r.off:], nil
}

// AppendRequestHeader appends the header that ParseRequestHeader reads; tests and tools
// use it.
func AppendRequestHeader(dst []byte, h RequestHeader) []byte {
	dst = appendInt16(dst, h.Key)
	dst = appendInt16(dst, h.Version)
	dst = appendInt32(dst, h.CorrelationID)
	dst = appendNullString(dst, StrOrNull(h.ClientID), true, false)
	if a, ok := Lookup(h.Key); ok && a.Flexible(h.Version) {
		dst = append(dst, 0)
	}
	return dst
}

// ResponseHeaderVersion returns 1 for flexible responses and 0 for others; ApiVersions
// always has 0, because its reader does not know yet what the server can.
func ResponseHeaderVersion(key, version int16) int16 {
	if a, ok := Lookup(key); ok && key != KeyApiVersions && a.Flexible(version) {
		return 1
	}
	return 0
}

// AppendResponseHeader appends the header of the response to a request of this key and
// version.
func AppendResponseHeader(dst []byte, key, version int16, correlationID int32) []byte {
	dst = appendInt32(dst, correlationID)
	if ResponseHeaderVersion(key, version) == 1 {
		dst = append(dst, 0)
	}
	return dst
}

// ParseResponseHeader splits a response (without its length); tests and tools use it.
func ParseResponseHeader(b []byte, key, version int16) (correlationID int32, body []byte, err error) {
	r := reader{b: b, api: "ResponseHeader", version: ResponseHeaderVersion(key, version)}
	correlationID = r.int32("CorrelationID")
	r.flex = r.version == 1
	if r.flex {
		r.skipTags("tags")
	}
	if r.err != nil {
		return 0, nil, r.err
	}
	return correlationID, b[r.off:], nil
}

// UnsupportedApiVersions is the answer to an ApiVersions request of a version that is not
// served: it has to be appended in version 0 whatever the client asked for (KIP-511), and
// lists ApiVersions alone.
func UnsupportedApiVersions() *ApiVersionsResponse {
	resp := NewApiVersionsResponse()
	a, _ := Lookup(KeyApiVersions)
	resp.ErrorCode = CodeUnsupportedVersion
	resp.ApiKeys = []ApiVersionsResponseApiVersion{{ApiKey: a.Key, MinVersion: a.AdvertisedMin, MaxVersion: a.Max}}
	return &resp
}

// UnsupportedError reports a request whose key or version is not served.
type UnsupportedError struct {
	Key, Version int16
	Known        bool // the key is served, in other versions
	API          API  // set when Known
}

func (e *UnsupportedError) Error() string {
	if !e.Known {
		return fmt.Sprintf("request of API key %d version %d: the API is not served", e.Key, e.Version)
	}
	return fmt.Sprintf("%s request of version %d: versions %d to %d are served", e.API.Name, e.Version, e.API.Min, e.API.Max)
}

// FrameHeadBytes is what CheckFrame has to see of a request: length and API key.
const FrameHeadBytes = 6

// CheckFrame reads the length (in bytes, without itself) and key of the request that head
// starts with, before any of its body is read. The error is a *FrameError: the connection
// has to be closed. head has FrameHeadBytes bytes; socketMax is socket.request.max.bytes.
func CheckFrame(head []byte, socketMax int) (sizeBytes int, key int16, err error) {
	size := int32(binary.BigEndian.Uint32(head))
	key = int16(binary.BigEndian.Uint16(head[4:]))
	if limit := RequestLimit(key, socketMax); size < minRequestBytes || int(size) > limit {
		return 0, key, &FrameError{SizeBytes: size, Key: key, LimitBytes: limit}
	}
	return int(size), key, nil
}

// minRequestBytes is a header of version 1 with a null client id.
const minRequestBytes = 10

// BeginFrame appends room for a frame's length; EndFrame(dst, at) fills it in, at being
// len(dst) before BeginFrame.
func BeginFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// EndFrame writes the length of the frame that starts at at.
func EndFrame(dst []byte, at int) { putFrameLength(dst[at:], len(dst)-at) }

// putFrameLength writes the length of a frame of total bytes, its length field included.
func putFrameLength(frame []byte, total int) { binary.BigEndian.PutUint32(frame, uint32(total-4)) }

// FrameError reports a request whose length cannot be right.
type FrameError struct {
	SizeBytes  int32
	Key        int16
	LimitBytes int
}

func (e *FrameError) Error() string {
	return fmt.Sprintf("request of API key %d claims %d bytes: between %d and %d are allowed", e.Key, e.SizeBytes, minRequestBytes, e.LimitBytes)
}
