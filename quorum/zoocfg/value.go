package zoocfg

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// parser takes a trimmed value into the draft, or says what is allowed.
type parser func(d *draft, value string) error

// draft is a Config in the making, with values that only make sense together.
type draft struct {
	*Config
	clientHost, secureHost string
	clientPort, securePort int
	servers                []rawServer
	observer               *bool   // peerType
	enabledProtocols       [2]bool // for clients, between servers
	enforceAuth            bool
	notes                  []string
}

// note is a warning about the value that is being parsed.
func (d *draft) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// rawServer is a server.N line as it was written.
type rawServer struct {
	Setting
	number string
}

func number(low, high int64, unit string, set func(d *draft, n int64)) parser {
	return func(d *draft, v string) error {
		base, digits := 10, v
		if hex, ok := strings.CutPrefix(strings.ToLower(v), "0x"); ok {
			base, digits = 16, hex
		}
		n, err := strconv.ParseInt(digits, base, 64)
		if err != nil || n < low || n > high {
			return allowed("%s, %d to %d", strings.TrimSuffix("a whole number of "+unit, " of "), low, high)
		}
		set(d, n)
		return nil
	}
}

// count is a number without a unit that fits 32 bits.
func count(low int64, set func(d *draft, n int)) parser {
	return number(low, math.MaxInt32, "", func(d *draft, n int64) { set(d, int(n)) })
}

// millis is a time in milliseconds.
func millis(low int64, set func(d *draft, t time.Duration)) parser {
	return number(low, math.MaxInt32, "milliseconds", func(d *draft, n int64) {
		if n < 0 {
			set(d, -1)
			return
		}
		set(d, time.Duration(n)*time.Millisecond)
	})
}

// portNumber takes 0 for none, as ZooKeeper does.
func portNumber(set func(d *draft, n int)) parser {
	return number(0, 65535, "", func(d *draft, n int64) { set(d, int(n)) })
}

func flag(set func(d *draft, on bool)) parser {
	return func(d *draft, v string) error {
		switch strings.ToLower(v) {
		case "true":
			set(d, true)
		case "false":
			set(d, false)
		default:
			return allowed("true, false")
		}
		return nil
	}
}

// yesNo is forceSync's form; true and false do as well.
func yesNo(set func(d *draft, on bool)) parser {
	return func(d *draft, v string) error {
		switch strings.ToLower(v) {
		case "yes", "true":
			set(d, true)
		case "no", "false":
			set(d, false)
		default:
			return allowed("yes, no")
		}
		return nil
	}
}

func text(set func(d *draft, v string)) parser {
	return func(d *draft, v string) error {
		if v == "" {
			return allowed("a value that is not empty")
		}
		set(d, v)
		return nil
	}
}

// switchedOn refuses a key that is true: ignoring it would make the ensemble less safe than
// its owner thinks.
func switchedOn(why string) parser {
	return func(_ *draft, v string) error {
		if strings.EqualFold(v, "true") {
			return refused("%s", why)
		}
		return nil
	}
}

// host takes a name or an address, an IPv6 one with brackets or without.
func host(set func(d *draft, v string)) parser {
	return text(func(d *draft, v string) {
		set(d, strings.TrimSuffix(strings.TrimPrefix(v, "["), "]"))
	})
}

func list(v string) []string {
	var items []string
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
