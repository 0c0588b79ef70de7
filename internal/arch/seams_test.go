package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pure lists the parts that reach files, time, network and randomness only through a seam.
var pure = []string{"record", "index", "segment", "engine", "replication", "metadata", "controller", "coordinator", "protocol", "broker"}

// banned calls, by package name and selector; the value says what to use instead.
var banned = map[string]map[string]string{
	"os": {
		"Open": "vfs.FS", "OpenFile": "vfs.FS", "Create": "vfs.FS", "Remove": "vfs.FS", "RemoveAll": "vfs.FS",
		"Rename": "vfs.FS", "ReadFile": "vfs.FS", "WriteFile": "vfs.FS", "Mkdir": "vfs.FS", "MkdirAll": "vfs.FS",
		"ReadDir": "vfs.FS", "Stat": "vfs.FS", "Exit": "an error to the caller",
	},
	"time": {"Now": "clock.Clock", "Sleep": "clock.Clock", "AfterFunc": "clock.Clock", "NewTimer": "clock.Clock", "NewTicker": "clock.Clock", "After": "clock.Clock", "Tick": "clock.Clock", "Since": "clock.Clock"},
	"net":  {"Listen": "a listener from the caller", "Dial": "a dialer from the caller"},
	"slog": {"Default": "a logger from the caller", "Info": "a logger from the caller", "Warn": "a logger from the caller", "Error": "a logger from the caller"},
}

func TestMachineIsReachedThroughSeams(t *testing.T) {
	root := filepath.Join("..", "..")
	for _, part := range pure {
		dir := filepath.Join(root, part)
		if !fileExists(dir) {
			continue
		}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return checkCalls(t, path)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func checkCalls(t *testing.T, path string) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(f, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := sel.X.(*ast.Ident)
		if !ok || pkg.Obj != nil {
			return true
		}
		if instead, ok := banned[pkg.Name][sel.Sel.Name]; ok {
			t.Errorf("%s: %s.%s: use %s", fset.Position(sel.Pos()), pkg.Name, sel.Sel.Name, instead)
		}
		return true
	})
	return nil
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
