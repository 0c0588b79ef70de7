package schema

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Parse reads one API in the notation of the package comment. Errors name file and line.
func Parse(name, text string) (API, error) {
	p := parser{seen: map[string]bool{}}
	for i, line := range strings.Split(text, "\n") {
		p.line = i + 1
		if err := p.parseLine(line); err != nil {
			return API{}, fmt.Errorf("%s:%d: %w", name, p.line, err)
		}
	}
	if p.api.Name == "" || !p.seen["request"] || !p.seen["response"] {
		return API{}, fmt.Errorf("%s: an api needs a header line, a request and a response", name)
	}
	for _, fields := range [][]Field{p.api.Request, p.api.Response} {
		if err := check(&p.api, fields, map[string]bool{}); err != nil {
			return API{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p.api, nil
}

type parser struct {
	line int
	api  API
	seen map[string]bool
	// open[d] is the list that a field at depth d+1 joins, with the versions of its parent.
	open []scope
}

type scope struct {
	fields   *[]Field
	versions Range
}

func (p *parser) parseLine(line string) error {
	code, comment, _ := strings.Cut(line, "#")
	words := strings.Fields(code)
	if len(words) == 0 {
		return nil
	}
	indent := len(code) - len(strings.TrimLeft(code, " "))
	if indent > 0 {
		return p.parseField(indent, words, strings.TrimSpace(comment))
	}
	switch words[0] {
	case "api":
		return p.parseHeader(words[1:])
	case "limit":
		return p.parseLimit(words[1:])
	case "note":
		p.api.Notes = append(p.api.Notes, strings.Join(words[1:], " "))
	case "request":
		p.open = []scope{{&p.api.Request, p.api.Versions}}
		p.seen["request"] = true
	case "response":
		p.open = []scope{{&p.api.Response, p.api.Versions}}
		p.seen["response"] = true
	default:
		return fmt.Errorf("unknown word %q", words[0])
	}
	return nil
}

// parseHeader reads: NAME key N versions A-B [advertised M] flexible F+|none.
func (p *parser) parseHeader(words []string) error {
	if len(words)%2 != 1 {
		return fmt.Errorf("want: api NAME key N versions A-B [advertised M] flexible F+|none")
	}
	p.api = API{Name: words[0], Key: -1, Versions: None, AdvertisedMin: -1, FlexibleFrom: -1}
	all := Range{0, NeverFlexible}
	for i := 1; i < len(words); i += 2 {
		r, err := parseRange(words[i+1], all)
		if err != nil && words[i+1] != "none" {
			return err
		}
		switch words[i] {
		case "key":
			p.api.Key = r.Min
		case "versions":
			p.api.Versions = r
		case "advertised":
			p.api.AdvertisedMin = r.Min
		case "flexible":
			p.api.FlexibleFrom = r.Min
			if words[i+1] == "none" {
				p.api.FlexibleFrom = NeverFlexible
			}
		default:
			return fmt.Errorf("unknown attribute %q", words[i])
		}
	}
	if p.api.AdvertisedMin < 0 {
		p.api.AdvertisedMin = p.api.Versions.Min
	}
	if p.api.Key < 0 || p.api.Versions.Empty() || p.api.FlexibleFrom < 0 {
		return fmt.Errorf("api %s lacks key, versions or flexible", p.api.Name)
	}
	return nil
}

func (p *parser) parseLimit(words []string) error {
	if len(words) != 1 {
		return fmt.Errorf("want: limit SIZE")
	}
	if words[0] == "socket" {
		p.api.LimitBytes = SocketLimit
		return nil
	}
	for unit, size := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if number, ok := strings.CutSuffix(words[0], unit); ok {
			n, err := strconv.Atoi(number)
			p.api.LimitBytes = n * size
			return err
		}
	}
	return fmt.Errorf("limit %q: want a number of KiB or MiB, or socket", words[0])
}

// parseField reads: NAME TYPE [VERSIONS] [null [VERSIONS]] [tag N] [default X].
func (p *parser) parseField(indent int, words []string, doc string) error {
	depth := indent / 2
	if indent%2 != 0 || depth > len(p.open) || len(words) < 2 {
		return fmt.Errorf("field outside a struct, or without a type: %q", strings.Join(words, " "))
	}
	p.open = p.open[:depth]
	parent := p.open[depth-1]
	f := Field{Name: words[0], Versions: parent.versions, Null: None, Tag: -1, Doc: doc}
	f.setType(words[1])
	rest := words[2:]
	if len(rest) > 0 && unicode.IsDigit(rune(rest[0][0])) {
		r, err := parseRange(rest[0], parent.versions)
		if err != nil {
			return err
		}
		f.Versions, rest = r, rest[1:]
	}
	if err := f.setAttributes(rest); err != nil {
		return fmt.Errorf("field %s: %w", f.Name, err)
	}
	*parent.fields = append(*parent.fields, f)
	if f.Kind == Struct {
		added := &(*parent.fields)[len(*parent.fields)-1]
		p.open = append(p.open, scope{&added.Fields, f.Versions})
	}
	return nil
}

func (f *Field) setType(word string) {
	word, f.Array = strings.CutPrefix(word, "[]")
	f.Kind = Kind(word)
	if unicode.IsUpper(rune(word[0])) {
		f.Kind, f.Type = Struct, word
	}
}

func (f *Field) setAttributes(words []string) error {
	for len(words) > 0 {
		switch {
		case words[0] == "null":
			f.Null, words = f.Versions, words[1:]
			if len(words) > 0 && unicode.IsDigit(rune(words[0][0])) {
				r, err := parseRange(words[0], f.Versions)
				if err != nil {
					return err
				}
				f.Null, words = r, words[1:]
			}
		case words[0] == "tag" && len(words) > 1:
			n, err := strconv.Atoi(words[1])
			if err != nil {
				return err
			}
			f.Tag, words = n, words[2:]
		case words[0] == "default" && len(words) > 1:
			f.Default, words = words[1], words[2:]
		default:
			return fmt.Errorf("unknown attribute %q", words[0])
		}
	}
	return nil
}

// parseRange reads "3", "3+" or "3-7"; "+" runs to the end of within.
func parseRange(word string, within Range) (Range, error) {
	low, high, two := strings.Cut(strings.TrimSuffix(word, "+"), "-")
	a, err := strconv.ParseInt(low, 10, 16)
	if err != nil {
		return None, fmt.Errorf("version %q: %w", word, err)
	}
	r := Range{int16(a), int16(a)}
	if two {
		b, err := strconv.ParseInt(high, 10, 16)
		if err != nil {
			return None, fmt.Errorf("version %q: %w", word, err)
		}
		r.Max = int16(b)
	}
	if strings.HasSuffix(word, "+") {
		r.Max = within.Max
	}
	if r.Empty() || r.Min < within.Min || r.Max > within.Max {
		return None, fmt.Errorf("versions %s are outside %s", word, within)
	}
	return r, nil
}

// check holds what the generator relies on: known kinds, struct names used once in a
// message, tags only where versions are flexible.
func check(a *API, fields []Field, structs map[string]bool) error {
	names := map[string]bool{}
	for i := range fields {
		f := &fields[i]
		switch f.Kind {
		case Struct:
			if structs[f.Type] || len(f.Fields) == 0 {
				return fmt.Errorf("struct %s of field %s is empty or not the only one of its name", f.Type, f.Name)
			}
			structs[f.Type] = true
			if err := check(a, f.Fields, structs); err != nil {
				return err
			}
		case String, Name, Bytes, Records:
		default:
			if f.Kind.FixedSize() == 0 {
				return fmt.Errorf("field %s: unknown type %q", f.Name, f.Kind)
			}
			if !f.Array && f.Nullable() {
				return fmt.Errorf("field %s: %s cannot be null", f.Name, f.Kind)
			}
		}
		if names[f.Name] {
			return fmt.Errorf("field %s occurs twice", f.Name)
		}
		names[f.Name] = true
		if f.Tagged() && !a.Flexible(f.Versions.Min) {
			return fmt.Errorf("field %s: tag in a version that has none", f.Name)
		}
	}
	return nil
}
