package main

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/protocol/schema"
)

// TestGeneratedFilesAreCurrent fails when somebody changed the table or the generator and
// did not run go generate ./protocol, or edited a generated file.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	apis, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(apis)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join("..", "..")
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the table gives: run go generate ./protocol", name)
		}
	}
	written, err := filepath.Glob(filepath.Join(root, "protocol", "zz_*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range written {
		if name := "protocol/" + filepath.Base(path); files[name] == nil {
			t.Errorf("%s is left over: run go generate ./protocol", name)
		}
	}
}

// TestGeneratedFilesStayReadable holds the size that the house allows.
func TestGeneratedFilesStayReadable(t *testing.T) {
	apis, err := schema.Load()
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(apis)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if lines := bytes.Count(text, []byte("\n")); lines > 1500 {
			t.Errorf("%s has %d lines", name, lines)
		}
	}
}

// everyNotation uses each part of the notation that today's APIs leave out, so that later
// ones are a pure addition.
const everyNotation = `
api Sample key 999 versions 1-3 advertised 0 flexible 2+ # the rest of a line is a comment
limit 64KiB
note One.

request
  Weight float64
  Port uint16
  Session uint32 2
  Assignment Assignment 2+ null
    Members []string null 3+
    Hash bytes
    Leader Leader
      Epoch int32 default -1
  Flags []bool
  Codes []error
  IDs []uuid
  Blobs []bytes
  Tagged bytes 2+ tag 0
  Late string 3+ tag 2 default "x"
response
  ErrorCode error
`

// TestEveryNotationGenerates type-checks what that sample gives against the runtime part of
// package protocol.
func TestEveryNotationGenerates(t *testing.T) {
	a, err := schema.Parse("sample.api", everyNotation)
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate([]schema.API{a})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Assignment *SampleRequestAssignment", "type SampleRequestLeader struct", "r.present(", "number == 2 && version >= 3", "NewSampleRequest()"} {
		if !bytes.Contains(files["protocol/zz_sample.go"], []byte(want)) {
			t.Errorf("no %q in\n%s", want, files["protocol/zz_sample.go"])
		}
	}
	fset := token.NewFileSet()
	parsed := []*ast.File{}
	for _, name := range []string{"protocol/zz_sample.go", "protocol/zz_apis.go"} {
		f, err := parser.ParseFile(fset, name, files[name], 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	for _, name := range []string{"types.go", "reader.go", "append.go", "decode_error.go", "errors.go", "error_table.go", "api.go"} {
		f, err := parser.ParseFile(fset, filepath.Join("..", "..", "protocol", name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	if _, err := config.Check("protocol", fset, parsed, nil); err != nil {
		t.Fatal(err)
	}
}

// TestWrongTablesAreRefused: a slip in the table is an error with file and line, not a
// wrong codec.
func TestWrongTablesAreRefused(t *testing.T) {
	const head = "api A key 1 versions 0-3 flexible 2+\n"
	for name, text := range map[string]string{
		"no header":         "request\nresponse\n",
		"no response":       head + "request\n",
		"unknown word":      head + "body\n",
		"unknown type":      head + "request\n  A int24\nresponse\n",
		"unknown attribute": head + "request\n  A int32 maybe\nresponse\n",
		"versions outside":  head + "request\n  A int32 2-9\nresponse\n",
		"versions reversed": head + "request\n  A int32 3-2\nresponse\n",
		"null int":          head + "request\n  A int32 null\nresponse\n",
		"early tag":         head + "request\n  A int32 tag 0\nresponse\n",
		"field twice":       head + "request\n  A int32\n  A int32\nresponse\n",
		"struct twice":      head + "request\n  A []S\n    B int8\n  C []S\n    B int8\nresponse\n",
		"empty struct":      head + "request\n  A []S\nresponse\n",
		"lost indent":       head + "request\n      A int32\nresponse\n",
	} {
		if _, err := schema.Parse("a.api", text); err == nil {
			t.Errorf("%s: no error for\n%s", name, text)
		}
	}
}
