package flame

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// short is a function's name without the path of its package's module, and with the types of
// a generic one left out: broker.(*Broker).serve.
func short(name string) string {
	var types string
	if i := strings.IndexByte(name, '['); i >= 0 {
		name, types = name[:i], name[i:]
	}
	name = name[strings.LastIndexByte(name, '/')+1:]
	if i := strings.LastIndexByte(types, ']'); i >= 0 {
		name += "[…]" + types[i+1:]
	}
	return strings.ReplaceAll(name, "%2e", ".")
}

// path is the import path of a function's package, as well as its symbol tells.
func path(name string) string {
	if i := strings.IndexByte(name, '['); i >= 0 {
		name = name[:i]
	}
	slash := strings.LastIndexByte(name, '/') + 1
	if dot := strings.IndexByte(name[slash:], '.'); dot >= 0 {
		return name[:slash+dot]
	}
	return name
}

// group says where a function comes from; each group has a colour of its own.
type group int

const (
	own     group = iota // the module that is profiled: Millrace's packages
	library              // other modules
	standard
	goRuntime
	kernel // system calls
	groups
)

func (g group) String() string {
	return [groups]string{"Millrace", "libraries", "standard library", "Go runtime", "system calls"}[g]
}

func groupOf(name string) group {
	p := path(name)
	first, _, _ := strings.Cut(p, "/")
	switch {
	case strings.HasPrefix(p, "github.com/millrace/millrace/") || first == "main":
		return own
	case strings.HasPrefix(p, "internal/runtime/syscall"), p == "syscall", p == "golang.org/x/sys/unix":
		return kernel
	case first == "runtime" || strings.HasPrefix(p, "internal/runtime/") || !strings.Contains(name, ".") && p != "all":
		return goRuntime // a name without a package is the runtime's assembly
	case strings.Contains(first, "."):
		return library
	default:
		return standard
	}
}

// colour is a frame's in the palette of its group: all frames of a package have one shade.
func colour(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(path(name))) // a hash takes anything
	n := h.Sum32()
	base := [groups]struct{ hue, spread, saturation, light uint32 }{
		own:       {8, 40, 88, 66},
		library:   {255, 45, 55, 76},
		standard:  {95, 45, 45, 70},
		goRuntime: {195, 25, 40, 74},
		kernel:    {330, 10, 60, 74},
	}[groupOf(name)]
	return fmt.Sprintf("hsl(%d,%d%%,%d%%)", base.hue+n%base.spread, base.saturation, base.light+n>>8%7)
}

// amount is a value with its unit.
func amount(v int64, unit string) string {
	switch unit {
	case "nanoseconds":
		return duration(time.Duration(v))
	case "bytes":
		return size(float64(v))
	case "count", "":
		return count(v)
	default:
		return count(v) + " " + unit
	}
}

func duration(d time.Duration) string {
	switch s := d.Seconds(); {
	case s >= 100:
		return strconv.FormatFloat(s, 'f', 0, 64) + " s"
	case s >= 1:
		return strconv.FormatFloat(s, 'f', 2, 64) + " s"
	case s >= 1e-3:
		return strconv.FormatFloat(s*1e3, 'f', 1, 64) + " ms"
	default:
		return strconv.FormatFloat(s*1e6, 'f', 1, 64) + " µs"
	}
}

func size(v float64) string {
	for _, u := range []struct {
		bytes float64
		name  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if v >= u.bytes {
			return strconv.FormatFloat(v/u.bytes, 'f', 2, 64) + " " + u.name
		}
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " B"
}

// count sets digits in groups of three.
func count(v int64) string {
	s := strconv.FormatInt(v, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
