package zoocfg

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/internal/properties"
	"github.com/millrace/millrace/internal/vfs"
)

// Input is where the settings come from.
type Input struct {
	File    string // zoo.cfg
	FS      vfs.FS
	Environ []string // os.Environ(): SERVER_JVMFLAGS and JVMFLAGS are looked at
}

// maxFileBytes bounds every file that is read here.
const maxFileBytes = 4 << 20

// Load reads the settings, the servers and myid. An error that is no Problems tells that a file
// cannot be read. Warnings are sentences for the log; there may be some beside an error.
func Load(in Input) (*Config, []Warning, error) {
	l := &loader{in: in, d: draft{Config: Default()}, keys: newCatalogue(), places: map[string]Setting{}}
	text, err := readFile(in.FS, in.File)
	if err != nil {
		return nil, nil, fmt.Errorf("configuration file: %w", err)
	}
	l.d.File, l.d.Text = in.File, text
	l.flags(in.Environ) // zoo.cfg wins over them
	l.file(text)
	if err := l.finish(); err != nil {
		return nil, l.warnings, err
	}
	if len(l.problems) > 0 {
		return nil, l.warnings, l.problems
	}
	return l.d.Config, l.warnings, nil
}

// loader collects settings and what is wrong with them.
type loader struct {
	in       Input
	d        draft
	keys     catalogue
	places   map[string]Setting // what was set, by the key's own name
	problems Problems
	warnings []Warning
}

func readFile(fsys vfs.FS, name string) (string, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return "", err
	}
	if size > maxFileBytes {
		return "", fmt.Errorf("%s has %d bytes, at most %d are read", name, size, maxFileBytes)
	}
	buf := make([]byte, size)
	n, err := f.ReadAt(buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(buf[:n]), nil
}

// flags takes the -D words that are ZooKeeper's. The scripts put SERVER_JVMFLAGS before
// JVMFLAGS, and the last of a name wins.
func (l *loader) flags(environ []string) {
	for _, variable := range []string{"SERVER_JVMFLAGS", "JVMFLAGS"} {
		for _, e := range environ {
			name, value, _ := strings.Cut(e, "=")
			if name != variable {
				continue
			}
			for word := range strings.FieldsSeq(value) {
				if d, ok := strings.CutPrefix(strings.Trim(word, `"'`), "-D"); ok {
					l.flag(Place{Source: variable}, d)
				}
			}
		}
	}
}

func (l *loader) flag(at Place, word string) {
	name, value, _ := strings.Cut(word, "=")
	k := l.find(name)
	ours := strings.HasPrefix(name, "zookeeper.") || k != nil && k.prop == name
	switch {
	case !ours || quiet(name): // the affair of Java or of a logger
	case k == nil:
		l.unknown(at, name)
	case k.prop == "":
		l.warn(at, name, "it is no system property: set "+k.name+" in zoo.cfg")
	default:
		l.set(at, k, name, value)
	}
}

// file takes the lines of zoo.cfg.
func (l *loader) file(text string) {
	props, err := properties.Parse(text)
	if err != nil {
		l.broken(l.in.File, err)
		return
	}
	for _, p := range props {
		at, name, value := Place{l.in.File, p.Line}, strings.TrimSpace(p.Key), strings.TrimSpace(p.Value)
		k := l.find(name)
		switch number, isServer := strings.CutPrefix(name, "server."); {
		case isServer && k == nil:
			l.server(at, name, number, value)
		case k == nil:
			l.unknown(at, name)
		default:
			l.set(at, k, name, value)
		}
	}
}

func (l *loader) broken(file string, err error) {
	p := Problem{Place: Place{Source: file}, Key: "syntax", Reason: err.Error()}
	var syntax *properties.SyntaxError
	if errors.As(err, &syntax) {
		p.Place.Line, p.Reason = syntax.Line, syntax.Err.Error()
	}
	l.problems = append(l.problems, p)
}

// find looks a name up, with "zookeeper." before it or without, or with a number or name in
// the place of a star.
func (l *loader) find(name string) *key {
	bare := strings.TrimPrefix(name, "zookeeper.")
	for _, n := range []string{name, bare} {
		if k := l.keys[n]; k != nil {
			return k
		}
	}
	if i := strings.IndexByte(bare, '.'); i >= 0 {
		return l.keys[bare[:i+1]+"*"]
	}
	return nil
}

// set takes one setting in; one that comes later replaces it.
func (l *loader) set(at Place, k *key, name, value string) {
	value = strings.TrimSpace(value)
	shown := value
	if k.secret {
		shown = "[hidden]"
	}
	if k.parse == nil {
		l.warn(at, name, "it has no effect: "+k.why)
		return
	}
	if before, ok := l.places[k.name]; ok && before.Place.Source == at.Source && at.Line > 0 {
		l.warn(at, name, fmt.Sprintf("it was set in line %d already; this line holds", before.Place.Line))
	}
	l.places[k.name] = Setting{Key: name, Value: shown, Place: at}
	if err := k.parse(&l.d, value); err != nil {
		l.problems = append(l.problems, problemOf(at, name, shown, err))
	}
	for _, note := range l.d.notes {
		l.warn(at, name, note)
	}
	l.d.notes = nil
}

// server keeps a server.N line; they are read together at the end.
func (l *loader) server(at Place, name, number, value string) {
	same := func(r rawServer) bool { return r.number == number }
	if i := slices.IndexFunc(l.d.servers, same); i >= 0 {
		l.warn(at, name, fmt.Sprintf("it was set in line %d already; this line holds", l.d.servers[i].Place.Line))
		l.d.servers = slices.Delete(l.d.servers, i, i+1)
	}
	l.d.servers = append(l.d.servers, rawServer{Setting{name, value, at}, number})
}

func (l *loader) unknown(at Place, name string) {
	text := "ZooKeeper 3.8 has no such key"
	bare := strings.TrimPrefix(name, "zookeeper.")
	if near := properties.Suggest(bare, l.keys.names()); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	l.warn(at, name, text)
}

func (l *loader) warn(at Place, key, text string) {
	l.warnings = append(l.warnings, Warning{Place: at, Key: key, Text: text})
}

// problem complains about a key where it was set, or about its absence in the file.
func (l *loader) problem(key, reason string) {
	s, ok := l.places[key]
	if !ok {
		s = Setting{Key: key, Place: Place{Source: l.in.File}}
	}
	l.problems = append(l.problems, Problem{Place: s.Place, Key: s.Key, Value: s.Value, Reason: reason})
}

// given tells whether somebody set a key.
func (l *loader) given(key string) bool { _, ok := l.places[key]; return ok }

// settings lists what was set, for those who ask the running server.
func (l *loader) settings() []Setting {
	var out []Setting
	for _, s := range l.places {
		out = append(out, s)
	}
	for _, s := range l.d.servers {
		out = append(out, s.Setting)
	}
	slices.SortFunc(out, func(a, b Setting) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// Peek reads the values of a zoo.cfg without judging them, for commands that only want to know
// where something lies. A later line wins.
func Peek(fsys vfs.FS, file string) (map[string]string, error) {
	text, err := readFile(fsys, file)
	if err != nil {
		return nil, err
	}
	props, err := properties.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	values := map[string]string{}
	for _, p := range props {
		values[strings.TrimSpace(p.Key)] = strings.TrimSpace(p.Value)
	}
	return values, nil
}

// ReadMyID reads the file myid of a data directory. The error wraps fs.ErrNotExist where there
// is none.
func ReadMyID(fsys vfs.FS, dataDir string) (int64, error) {
	name := filepath.Join(dataDir, "myid")
	text, err := readFile(fsys, name)
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(text, "\n")
	id, err := parseID(strings.TrimSpace(line))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return id, nil
}

func parseID(text string) (int64, error) {
	if text == "" {
		return 0, refused("it is empty: write the N of this server's line server.N into it")
	}
	d := draft{}
	var id int64
	err := number(MinID, MaxID, "", func(_ *draft, n int64) { id = n })(&d, text)
	if err != nil {
		return 0, refused("%q is no server id: it is a number, %d to %d, the N of this server's line server.N", clip(text), MinID, MaxID)
	}
	return id, nil
}

// clip keeps a message short whatever a file holds.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}

// missing tells whether a file is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
