package apis

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ranges is what the broker promises: API key, lowest and highest version.
var ranges = map[int16][2]int16{
	0: {0, 13}, 1: {4, 18}, 2: {1, 11}, 3: {0, 13}, 18: {0, 4}, 19: {0, 7}, 20: {0, 6}, 21: {0, 2}, 22: {0, 5},
	23: {2, 4}, 32: {1, 4}, 33: {0, 2}, 34: {1, 2}, 35: {1, 4}, 37: {0, 3}, 43: {0, 2}, 44: {0, 1}, 45: {0, 1}, 46: {0, 0}, 55: {0, 2}, 57: {0, 2},
	60: {0, 2}, 61: {0, 0}, 64: {0, 0}, 74: {0, 1}, 75: {0, 0},
}

func TestApiVersions(t *testing.T) {
	c := target(t)
	each(c, 0, 4, func(c *client, v int16) {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "apis-suite", "1.0.0-rc.1"
		resp := call[*kmsg.ApiVersionsResponse](c, v, req)
		code(c, resp.ErrorCode, nil)
		equal(c, "throttle", resp.ThrottleMillis, 0)
		seen := map[int16]bool{}
		for _, k := range resp.ApiKeys {
			if seen[k.ApiKey] {
				c.Errorf("key %d stands twice", k.ApiKey)
			}
			seen[k.ApiKey] = true
			want, promised := ranges[k.ApiKey]
			if promised && (k.MinVersion != want[0] || k.MaxVersion != want[1]) {
				c.Errorf("%s: versions %d-%d, want %d-%d", kmsg.NameForKey(k.ApiKey), k.MinVersion, k.MaxVersion, want[0], want[1])
			}
			if v < 4 {
				for _, f := range resp.SupportedFeatures {
					if f.MinVersion == 0 {
						c.Errorf("feature %s has minimum 0 before version 4", f.Name) // KAFKA-17492
					}
				}
			}
		}
		for key := range ranges {
			if !seen[key] {
				c.Errorf("%s is not listed", kmsg.NameForKey(key))
			}
		}
	})
}

func TestApiVersionsOfAnUnknownVersionIsAnsweredInVersion0(t *testing.T) {
	c := target(t)
	for _, v := range []int16{5, 99, 32767, -1} {
		// Key 18 of a version that nobody knows, with a body that nobody can read.
		c.correlation++
		c.expected = append(c.expected, c.correlation)
		c.write(framed(request(18, v, c.correlation, []byte("\x00\x04apis\xff\xff\xff\xff\xff\xff"))))
		resp := kmsg.NewPtrApiVersionsResponse()
		c.receive(resp)
		code(t, resp.ErrorCode, kerr.UnsupportedVersion)
		k := one(t, "keys", resp.ApiKeys)
		equal(t, "key", k.ApiKey, 18)
		equal(t, "lowest version", k.MinVersion, 0)
		if k.MaxVersion < 4 {
			t.Errorf("highest version %d", k.MaxVersion)
		}
	}
	// The connection goes on: that is what the answer is for.
	code(t, call[*kmsg.ApiVersionsResponse](c, 0, kmsg.NewPtrApiVersionsRequest()).ErrorCode, nil)
}

func TestApiVersionsWithABadSoftwareName(t *testing.T) {
	c := target(t)
	for _, bad := range [][2]string{{"", "1"}, {"name", ""}, {"a b", "1"}, {"-a", "1"}, {"a", "1."}, {"a\n", "1"}, {"é", "1"}} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = bad[0], bad[1]
		resp := call[*kmsg.ApiVersionsResponse](c, 3, req)
		if resp.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("%q: error code %d, want INVALID_REQUEST", bad, resp.ErrorCode)
		}
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "apache-kafka-java", "4.0.0"
	code(t, call[*kmsg.ApiVersionsResponse](c, 3, req).ErrorCode, nil)
}

// Only ApiVersions may be asked for blindly; all else closes the connection, as Kafka does.
func TestVersionsThatAreNotServedCloseTheConnection(t *testing.T) {
	addr := target(t).addr
	body := []byte("\x00\x04apis\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for key, r := range ranges {
		if key == 18 {
			continue
		}
		low := r[0]
		if key == 0 {
			low = 3 // advertised from 0 for old librdkafka, served from 3
		}
		for _, v := range []int16{low - 1, r[1] + 1, 32767} {
			c := dial(t, addr)
			c.write(framed(request(key, v, 1, body)))
			c.mustClose()
		}
	}
	for _, key := range []int16{-1, 4, 5, 6, 7, 93, 999, 32767} {
		c := dial(t, addr)
		c.write(framed(request(key, 0, 1, body)))
		c.mustClose()
	}
	mustServe(t, addr)
}

// request is a request without its size, from its parts.
func request(key, version int16, correlation int32, rest []byte) []byte {
	var b []byte
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	return append(b, rest...)
}

// framed puts the size before a request.
func framed(request []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)
}
