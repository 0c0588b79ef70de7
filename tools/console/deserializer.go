package console

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace/tools/cli"
)

// deserializer makes the text of a key, a value or a header's value.
type deserializer func([]byte) (string, error)

// newDeserializer finds Kafka's deserializer by its Java class or the class's short name;
// no name means the bytes as they are.
func newDeserializer(class string) (deserializer, error) {
	short := class[strings.LastIndexByte(class, '.')+1:]
	switch strings.TrimSuffix(short, "Deserializer") {
	case "", "String", "ByteArray", "ByteBuffer", "Bytes":
		return func(b []byte) (string, error) { return string(b), nil }, nil
	case "Integer":
		return fixed(class, 4, func(b []byte) string { return strconv.Itoa(int(int32(binary.BigEndian.Uint32(b)))) }), nil
	case "Long":
		return fixed(class, 8, func(b []byte) string { return strconv.FormatInt(int64(binary.BigEndian.Uint64(b)), 10) }), nil
	case "Short":
		return fixed(class, 2, func(b []byte) string { return strconv.Itoa(int(int16(binary.BigEndian.Uint16(b)))) }), nil
	case "Float":
		return fixed(class, 4, func(b []byte) string {
			return javaFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(b))), 32)
		}), nil
	case "Double":
		return fixed(class, 8, func(b []byte) string { return javaFloat(math.Float64frombits(binary.BigEndian.Uint64(b)), 64) }), nil
	case "Boolean":
		return fixed(class, 1, func(b []byte) string { return strconv.FormatBool(b[0] != 0) }), nil
	case "UUID":
		return func(b []byte) (string, error) { return string(b), nil }, nil
	}
	return nil, cli.Usagef("deserializer %s does not exist here: use String, Integer, Long, Short, Float, Double, Boolean, UUID or ByteArray Deserializer", class)
}

func fixed(class string, size int, text func([]byte) string) deserializer {
	return func(b []byte) (string, error) {
		if len(b) != size {
			return "", fmt.Errorf("Size of data received by %s is not %d (it is %d)", class, size, len(b))
		}
		return text(b), nil
	}
}

// javaFloat writes f as Java's Double.toString and Float.toString do.
func javaFloat(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	if a := math.Abs(f); a == 0 || (a >= 1e-3 && a < 1e7) {
		s := strconv.FormatFloat(f, 'f', -1, bits)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	s := strconv.FormatFloat(f, 'E', -1, bits)
	mantissa, exponent, _ := strings.Cut(s, "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}
