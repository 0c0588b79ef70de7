// Command protogen writes the codecs of package protocol (protocol/zz_*.go) and
// docs/protocol/apis.md from the table in protocol/schema. Run it as
//
//	go generate ./protocol
//
// A test in this folder fails when the written files are not those that the table gives.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/protocol/schema"
)

func main() {
	root := flag.String("root", ".", "top folder of the repository")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	apis, err := schema.Load()
	if err != nil {
		return err
	}
	files, err := generate(apis)
	if err != nil {
		return err
	}
	stale, err := filepath.Glob(filepath.Join(root, "protocol", "zz_*.go"))
	if err != nil {
		return err
	}
	for _, path := range stale {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
