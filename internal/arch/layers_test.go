package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/millrace/millrace/"

// layers lists, for each part of the house, the parts of the module that it may import
// besides itself and internal/. A part that is missing here may not exist: think about
// its place first, draw it in ARCHITECTURE.md, and then add it.
var layers = map[string][]string{
	"internal":    {},
	"record":      {},
	"protocol":    {"record"},
	"index":       {},
	"segment":     {"index", "record"},
	"engine":      {"segment", "index", "record"},
	"quorum":      {"segment", "record"},
	"metadata":    {"quorum"},
	"replication": {"engine", "metadata", "record"},
	"controller":  {"metadata", "replication", "engine", "record"},
	"coordinator": {"metadata", "replication", "engine", "record", "protocol"},
	"broker":      {"controller", "coordinator", "metadata", "replication", "quorum", "engine", "segment", "record", "protocol"},
	"tools":       {"broker", "metadata", "quorum", "engine", "segment", "index", "record", "protocol"},
	"bench":       {"tools", "broker", "quorum", "engine", "segment", "index", "record", "protocol"},
	"conformance": {"record", "engine", "metadata", "quorum", "tools"},
	"cmd":         {"tools", "bench", "broker", "controller", "coordinator", "metadata", "replication", "quorum", "engine", "segment", "record", "protocol"},
}

// only lists who may import what reaches past a seam, and why.
var only = []struct {
	imported string
	allowed  []string
	why      string
}{
	{"golang.org/x/sys/unix", []string{"internal/vfs/osfs", "internal/netx", "cmd", "bench", "conformance", "tools"}, "system calls stay behind the seams"},
	{"github.com/edsrzf/mmap-go", []string{"internal/vfs/osfs", "bench"}, "mappings come from vfs"},
	{"github.com/twmb/franz-go", []string{"tools", "bench", "conformance", "cmd"}, "the server speaks its own codecs"},
	{"github.com/prometheus/client_golang", []string{"broker", "cmd", "internal/metrics"}, "metrics are wired at the top"},
	{"github.com/hashicorp/raft", []string{"quorum"}, "consensus stays in the quorum"},
	{"github.com/spf13", []string{"cmd", "tools", "bench"}, "the command line stays at the top"},
}

func TestImportsPointDown(t *testing.T) {
	root := filepath.Join("..", "..")
	checked := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			nested := rel != "." && fileExists(filepath.Join(path, "go.mod"))
			if nested || strings.HasPrefix(d.Name(), ".git") || d.Name() == "testdata" || d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		checked++
		for _, spec := range f.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			checkImport(t, filepath.ToSlash(rel), imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked == 0 {
		t.Fatal("no Go file was read: the test looks in the wrong place")
	}
}

func checkImport(t *testing.T, file, imported string) {
	t.Helper()
	test := strings.HasSuffix(file, "_test.go")
	if !test {
		for _, rule := range only {
			if within(imported, rule.imported) && !anyWithin(file, rule.allowed) {
				t.Errorf("%s imports %s: %s (allowed: %s)", file, imported, rule.why, strings.Join(rule.allowed, ", "))
			}
		}
	}
	if !strings.HasPrefix(imported, module) {
		return
	}
	from, _, _ := strings.Cut(file, "/")
	part, _, _ := strings.Cut(strings.TrimPrefix(imported, module), "/")
	allowed, known := layers[from]
	if !known {
		t.Errorf("%s lies in a part of the house that is not drawn: %s", file, from)
		return
	}
	if part == from || part == "internal" {
		return
	}
	for _, a := range allowed {
		if a == part {
			return
		}
	}
	t.Errorf("%s imports %s: %s may import only %s", file, imported, from, strings.Join(allowed, ", "))
}

func anyWithin(file string, dirs []string) bool {
	for _, d := range dirs {
		if within(file, d) {
			return true
		}
	}
	return false
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
