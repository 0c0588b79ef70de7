package zk

import "strings"

// option is one that a command has.
type option struct {
	name     string
	argument bool
	help     string
}

// options are those of a command, read by the rules of Apache Commons CLI's DefaultParser.
type options struct {
	list []option
	// group holds options of which only one may be given.
	group         []option
	groupRequired bool
}

// parsed is a command line. words[0] is the command.
type parsed struct {
	words  []string
	values map[string]string
}

func (p *parsed) has(name string) bool {
	_, ok := p.values[name]
	return ok
}

// parser reads one command line.
type parser struct {
	options
	parsed
	open     *option // waits for its argument
	chosen   string  // of the group
	verbatim bool    // after --
}

// parse reads args, whose first is the command. Options may stand anywhere. The error has
// the text that ZooKeeper prints, with the name of Java's exception.
func (o options) parse(args []string) (*parsed, error) {
	p := &parser{options: o, parsed: parsed{values: map[string]string{}}}
	for _, a := range args {
		if err := p.token(a); err != nil {
			return nil, err
		}
	}
	if p.open != nil {
		return nil, p.missing()
	}
	if o.groupRequired && p.chosen == "" {
		texts := make([]string, len(o.group))
		for i, g := range o.group {
			texts[i] = "-" + g.name + " " + g.help
		}
		return nil, javaError("MissingOption", "Missing required option: ["+strings.Join(texts, ", ")+"]")
	}
	return &p.parsed, nil
}

func javaError(class, text string) error {
	return failure("org.apache.commons.cli." + class + "Exception: " + text)
}

func (p *parser) missing() error {
	return javaError("MissingArgument", "Missing argument for option: "+p.open.name)
}

func (p *parser) find(name string) *option {
	for _, list := range [][]option{p.list, p.group} {
		for i := range list {
			if list[i].name == name {
				return &list[i]
			}
		}
	}
	return nil
}

func (p *parser) token(a string) error {
	switch {
	case p.verbatim:
		p.words = append(p.words, a)
		return nil
	case a == "--":
		p.verbatim = true
		return nil
	case p.open != nil && !p.isOption(a):
		p.values[p.open.name] = unquote(a)
		p.open = nil
		return nil
	case strings.HasPrefix(a, "--"):
		return p.unknown(a)
	case len(a) > 1 && a[0] == '-':
		return p.dashed(a)
	}
	p.words = append(p.words, a)
	return nil
}

// isOption tells whether a word is one that the command has, or starts like one.
func (p *parser) isOption(a string) bool {
	if len(a) < 2 || a[0] != '-' {
		return false
	}
	name, _, _ := strings.Cut(a[1:], "=")
	return p.find(name) != nil || name != "" && p.find(name[:1]) != nil
}

// dashed reads -o, -name, -o=value, -ovalue and -abc.
func (p *parser) dashed(a string) error {
	name, value, hasValue := strings.Cut(a[1:], "=")
	if hasValue {
		o := p.find(name)
		if len(name) != 1 || o == nil || !o.argument {
			return p.unknown(a)
		}
		if err := p.take(o); err != nil {
			return err
		}
		p.values[name] = value
		p.open = nil
		return nil
	}
	if o := p.find(name); o != nil {
		return p.take(o)
	}
	if len(name) == 1 {
		return p.unknown(a)
	}
	for i := range len(name) {
		o := p.find(name[i : i+1])
		if o == nil {
			return p.unknown(a)
		}
		if err := p.take(o); err != nil {
			return err
		}
		if o.argument && i+1 < len(name) {
			p.values[o.name] = name[i+1:]
			p.open = nil
			break
		}
	}
	return nil
}

// take notes an option; one with an argument waits for it.
func (p *parser) take(o *option) error {
	if p.open != nil {
		return p.missing()
	}
	for _, g := range p.group {
		if g.name != o.name {
			continue
		}
		if p.chosen != "" && p.chosen != o.name {
			return javaError("AlreadySelected", "The option '"+o.name+"' was specified but an option from this group has already been selected: '"+p.chosen+"'")
		}
		p.chosen = o.name
	}
	if _, again := p.values[o.name]; !again {
		p.values[o.name] = ""
	}
	if o.argument {
		p.open = o
	}
	return nil
}

func (p *parser) unknown(a string) error {
	return javaError("UnrecognizedOption", "Unrecognized option: "+a)
}

// unquote takes one pair of double quotes off.
func unquote(s string) string {
	if n := len(s); n > 1 && s[0] == '"' && s[n-1] == '"' && !strings.Contains(s[1:n-1], `"`) {
		return s[1 : n-1]
	}
	return s
}
