package zoocfg

import (
	"errors"
	"strings"

	"github.com/millrace/millrace/internal/properties"
)

// dynamicLines takes the server.N lines of a dynamic file, which holds nothing else.
func (l *loader) dynamicLines(file, text string) {
	props, err := properties.Parse(text)
	if err != nil {
		l.broken(file, err)
		return
	}
	for _, p := range props {
		at, name, value := Place{file, p.Line}, strings.TrimSpace(p.Key), strings.TrimSpace(p.Value)
		number, isServer := strings.CutPrefix(name, "server.")
		switch k := l.find(name); {
		case isServer:
			l.server(at, name, number, value)
		case name == "version":
			l.problems = append(l.problems, Problem{Place: at, Key: name, Value: value, Reason: "the version stands in the file's name, as in zoo.cfg.dynamic.100000000: remove the line"})
		case k != nil && k.parse == nil && (strings.HasPrefix(name, "group.") || strings.HasPrefix(name, "weight.")):
			l.set(at, k, name, value)
		default:
			l.problems = append(l.problems, Problem{Place: at, Key: name, Value: value, Reason: "a dynamic file holds server.N lines only: move it to " + l.in.File})
		}
	}
}

func asValue(err error, to **valueError) bool { return errors.As(err, to) }
