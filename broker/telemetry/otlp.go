package telemetry

import (
	"errors"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Point is one value of a metric.
type Point struct {
	Name  string
	Attrs []Attr
	Value float64
	// Monotonic values only grow; Delta ones are the growth since the last push.
	Monotonic, Delta bool
}

// Attr is an attribute of a point or of the client.
type Attr struct{ Key, Value string }

// ErrMalformed says that a payload is no OTLP message.
var ErrMalformed = errors.New("the payload is no OTLP MetricsData")

// decode reads a MetricsData message (opentelemetry/proto/metrics/v1). Of histograms and
// summaries only count and sum are read. It returns at most most points and tells how many
// there were besides.
func decode(b []byte, most int) (resource []Attr, points []Point, dropped int, err error) {
	d := decoder{most: most}
	d.message(b, func(num protowire.Number, v field) {
		if num != 1 { // resource_metrics
			return
		}
		d.message(v.bytes, func(num protowire.Number, v field) {
			switch num {
			case 1: // resource
				d.message(v.bytes, func(num protowire.Number, v field) {
					if num == 1 {
						d.resource = d.attr(d.resource, v.bytes)
					}
				})
			case 2: // scope_metrics
				d.message(v.bytes, func(num protowire.Number, v field) {
					if num == 2 {
						d.metric(v.bytes)
					}
				})
			}
		})
	})
	if d.bad {
		return nil, nil, 0, ErrMalformed
	}
	return d.resource, d.points, d.dropped, nil
}

type decoder struct {
	most, dropped int
	bad           bool
	resource      []Attr
	points        []Point
}

// field is a value as it stands on the wire; of bytes it aliases the payload.
type field struct {
	kind  protowire.Type
	bits  uint64 // varint, fixed
	bytes []byte
}

// message calls f for each field.
func (d *decoder) message(b []byte, f func(num protowire.Number, v field)) {
	for len(b) > 0 && !d.bad {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			d.bad = true
			return
		}
		b = b[n:]
		v := field{kind: kind}
		switch kind {
		case protowire.VarintType:
			v.bits, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var bits uint32
			bits, n = protowire.ConsumeFixed32(b)
			v.bits = uint64(bits)
		case protowire.Fixed64Type:
			v.bits, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		default: // groups are not in OTLP
			n = -1
		}
		if n < 0 {
			d.bad = true
			return
		}
		b = b[n:]
		f(num, v)
	}
}

// metric reads a Metric. Its name may stand behind its data.
func (d *decoder) metric(b []byte) {
	var name string
	first := len(d.points)
	d.message(b, func(num protowire.Number, v field) {
		switch num {
		case 1:
			name = string(v.bytes)
		case 5: // gauge
			d.numbers(v.bytes)
		case 7: // sum
			d.numbers(v.bytes)
		case 9: // histogram
			d.distribution(v.bytes, 9, true)
		case 10: // exponential histogram
			d.distribution(v.bytes, 1, true)
		case 11: // summary
			d.distribution(v.bytes, 7, false)
		}
	})
	for i := first; i < len(d.points); i++ {
		d.points[i].Name = name + d.points[i].Name
	}
}

// numbers reads a Gauge or a Sum: the same but for two fields that a gauge does not have.
func (d *decoder) numbers(b []byte) {
	first := len(d.points)
	delta, monotonic := false, false
	d.message(b, func(num protowire.Number, v field) {
		switch num {
		case 1:
			p := Point{}
			valued := false
			d.message(v.bytes, func(num protowire.Number, v field) {
				switch num {
				case 7:
					p.Attrs = d.attr(p.Attrs, v.bytes)
				case 4:
					p.Value, valued = math.Float64frombits(v.bits), v.kind == protowire.Fixed64Type
				case 6:
					p.Value, valued = float64(int64(v.bits)), v.kind == protowire.Fixed64Type
				}
			})
			if valued {
				d.add(p)
			}
		case 2:
			delta = v.bits == 1
		case 3:
			monotonic = v.bits != 0
		}
	})
	for i := first; i < len(d.points); i++ {
		d.points[i].Delta, d.points[i].Monotonic = delta, monotonic
	}
}

// distribution reads count and sum of a Histogram, an ExponentialHistogram or a Summary,
// which differ in the number of their points' attributes, and in that sums of the last never
// come as differences.
func (d *decoder) distribution(b []byte, attributes protowire.Number, temporal bool) {
	first := len(d.points)
	delta := false
	d.message(b, func(num protowire.Number, v field) {
		switch num {
		case 1:
			var attrs []Attr
			count, sum := 0.0, 0.0
			d.message(v.bytes, func(num protowire.Number, v field) {
				switch {
				case num == 4 && v.kind == protowire.Fixed64Type:
					count = float64(v.bits)
				case num == 5 && v.kind == protowire.Fixed64Type:
					sum = math.Float64frombits(v.bits)
				case num == attributes && v.kind == protowire.BytesType:
					attrs = d.attr(attrs, v.bytes)
				}
			})
			d.add(Point{Name: ".count", Attrs: attrs, Value: count, Monotonic: true})
			d.add(Point{Name: ".sum", Attrs: attrs, Value: sum})
		case 2:
			delta = temporal && v.bits == 1
		}
	})
	for i := first; i < len(d.points); i++ {
		d.points[i].Delta = delta
	}
}

func (d *decoder) add(p Point) {
	if len(d.points) >= d.most {
		d.dropped++
		return
	}
	d.points = append(d.points, p)
}

// maxAttrs bounds the attributes that are kept of one point or resource.
const maxAttrs = 16

// attr appends a KeyValue; values that are no scalars are left out.
func (d *decoder) attr(to []Attr, b []byte) []Attr {
	var a Attr
	scalar := false
	d.message(b, func(num protowire.Number, v field) {
		switch num {
		case 1:
			a.Key = string(v.bytes)
		case 2:
			d.message(v.bytes, func(num protowire.Number, v field) {
				var text string
				if text, scalar = scalarText(num, v); scalar {
					a.Value = text
				}
			})
		}
	})
	if !scalar || a.Key == "" || len(to) >= maxAttrs {
		return to
	}
	return append(to, a)
}

// scalarText is the text of an AnyValue's field.
func scalarText(num protowire.Number, v field) (string, bool) {
	switch {
	case num == 1 && v.kind == protowire.BytesType:
		return string(v.bytes), true
	case num == 2 && v.kind == protowire.VarintType:
		return strconv.FormatBool(v.bits != 0), true
	case num == 3 && v.kind == protowire.VarintType:
		return strconv.FormatInt(int64(v.bits), 10), true
	case num == 4 && v.kind == protowire.Fixed64Type:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'g', -1, 64), true
	}
	return "", false
}
