package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/bench/result"
)

// Outputs are the files that a command of bench leaves behind when it is asked to.
type Outputs struct {
	JSON string // path of the results, "" for none
	HTML string // path of the page, "" for none
}

// Flags adds --json and --html to flags.
func (o *Outputs) Flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.JSON, "json", o.JSON, "Write the results as JSON to this file. 'millrace bench report' makes a page or tables of it.")
	flags.StringVar(&o.HTML, "html", o.HTML, "Write the report as one HTML page that opens offline to this file.")
}

// Complete lets the shell complete the names of files for the flags of Flags.
func (o *Outputs) Complete(cmd *cobra.Command) {
	_ = cmd.MarkFlagFilename("json", "json")
	_ = cmd.MarkFlagFilename("html", "html")
}

// Save writes the files that were asked for. Each is replaced as a whole: whoever reads it
// while it is written, or after a crash, finds the old one or the new one.
func (o *Outputs) Save(f *result.File) error {
	if o.JSON != "" {
		if err := WriteFile(o.JSON, f.Write); err != nil {
			return err
		}
	}
	if o.HTML != "" {
		return WriteFile(o.HTML, func(w io.Writer) error { return HTML(w, f) })
	}
	return nil
}

// WriteFile replaces the file at path by what write writes, all or nothing.
func WriteFile(path string, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w: choose a directory that exists and may be written", path, err)
	}
	defer os.Remove(tmp.Name()) // gone already when all went well
	err = write(tmp)
	if err == nil {
		err = tmp.Chmod(0o644)
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
