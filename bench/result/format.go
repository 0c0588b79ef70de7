package result

import (
	"math"
	"strconv"
	"strings"
)

// Rate writes a count or a rate for people: digits in groups of three, no decimals from 100
// on: "197,412", "43.1", "0.25".
func Rate(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "-"
	case a >= 99.95 || a == math.Trunc(a):
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.01:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

// Milliseconds writes a latency given in milliseconds with three significant digits, in
// microseconds below 0.1 ms and in seconds from 10 s on: "48.2 us", "0.312 ms", "12.5 s".
func Milliseconds(ms float64) string {
	switch a := math.Abs(ms); {
	case math.IsNaN(ms) || math.IsInf(ms, 0):
		return "-"
	case a == 0:
		return "0 ms"
	case a < 0.1:
		return Significant(ms*1e3) + " us"
	case a < 10_000:
		return Significant(ms) + " ms"
	default:
		return Significant(ms/1e3) + " s"
	}
}

// Significant writes v with three significant digits and no exponent: "0.0312", "4.10",
// "12.5", "813", "4,120".
func Significant(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		if v == 0 {
			return "0"
		}
		return "-"
	}
	decimals := 2 - int(math.Floor(math.Log10(math.Abs(v))+1e-9))
	return group(strconv.FormatFloat(v, 'f', min(max(decimals, 0), 9), 64))
}

// group puts commas between the thousands of a decimal number.
func group(s string) string {
	sign, digits, fraction := "", s, ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if i := strings.IndexByte(digits, '.'); i >= 0 {
		digits, fraction = digits[:i], digits[i:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits + fraction
}
