package perf

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// fixed is Java's %.Nf: the shortest decimal that means v, rounded half up at the Nth
// place. Go rounds the binary value and halves to even, which differs in the last digit.
func fixed(v float64, places int) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	text := strconv.FormatFloat(math.Abs(v), 'f', -1, 64)
	whole, part, _ := strings.Cut(text, ".")
	if len(part) <= places {
		part += strings.Repeat("0", places-len(part))
		return signed(v, joined(whole+part, places))
	}
	up := part[places] >= '5'
	digits := []byte(whole + part[:places])
	for i := len(digits) - 1; up && i >= 0; i-- {
		if digits[i] == '9' {
			digits[i] = '0'
			continue
		}
		digits[i]++
		up = false
	}
	if up {
		digits = append([]byte{'1'}, digits...)
	}
	return signed(v, joined(string(digits), places))
}

// joined sets the decimal point before the last places digits.
func joined(digits string, places int) string {
	if places == 0 {
		return digits
	}
	return digits[:len(digits)-places] + "." + digits[len(digits)-places:]
}

func signed(v float64, text string) string {
	if math.Signbit(v) {
		return "-" + text
	}
	return text
}

// formatDate is Java's SimpleDateFormat for the letters that make sense in a log: y M d D E a
// H h k K m s S z Z X and quoted text. ok is false when pattern holds another letter or an
// open quote, which Java refuses too.
func formatDate(pattern string, t time.Time) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		if c == '\'' {
			n, closed := quoted(&b, pattern[i:])
			if !closed {
				return "", false
			}
			i += n
			continue
		}
		n := 1
		for i+n < len(pattern) && pattern[i+n] == c {
			n++
		}
		i += n
		if c|0x20 < 'a' || c|0x20 > 'z' {
			b.WriteString(strings.Repeat(string(c), n))
			continue
		}
		if !dateField(&b, c, n, t) {
			return "", false
		}
	}
	return b.String(), true
}

// quoted writes the literal text that p starts with ('at', or a doubled quote for one).
func quoted(b *strings.Builder, p string) (length int, closed bool) {
	if strings.HasPrefix(p, "''") {
		b.WriteByte('\'')
		return 2, true
	}
	for i := 1; i < len(p); i++ {
		if p[i] != '\'' {
			b.WriteByte(p[i])
			continue
		}
		if i+1 < len(p) && p[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return i + 1, true
	}
	return 0, false
}

// dateField writes the field of n letters c.
func dateField(b *strings.Builder, c byte, n int, t time.Time) bool {
	hour12 := t.Hour() % 12
	number := func(v int) {
		text := strconv.Itoa(v)
		b.WriteString(strings.Repeat("0", max(0, n-len(text))) + text)
	}
	switch c {
	case 'y', 'Y':
		if n == 2 {
			number(t.Year() % 100)
		} else {
			number(t.Year())
		}
	case 'M', 'L':
		switch {
		case n >= 4:
			b.WriteString(t.Month().String())
		case n == 3:
			b.WriteString(t.Format("Jan"))
		default:
			number(int(t.Month()))
		}
	case 'd':
		number(t.Day())
	case 'D':
		number(t.YearDay())
	case 'E':
		b.WriteString(t.Format(map[bool]string{true: "Monday", false: "Mon"}[n >= 4]))
	case 'a':
		b.WriteString(t.Format("PM"))
	case 'H':
		number(t.Hour())
	case 'k':
		number((t.Hour()+23)%24 + 1)
	case 'K':
		number(hour12)
	case 'h':
		number((hour12+11)%12 + 1)
	case 'm':
		number(t.Minute())
	case 's':
		number(t.Second())
	case 'S':
		number(t.Nanosecond() / 1e6)
	case 'z':
		b.WriteString(t.Format("MST"))
	case 'Z':
		b.WriteString(t.Format("-0700"))
	case 'X':
		b.WriteString(t.Format([]string{"Z07", "Z0700", "Z07:00"}[min(n, 3)-1]))
	default:
		return false
	}
	return true
}
