package report

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/bench/result"
	"github.com/millrace/millrace/tools/cli"
)

const examples = `  # tables on the terminal
  {{.}} suite.json

  # a page with plots that opens offline
  {{.}} suite.json --html suite.html

  # several measurements on one page; "-" is standard input
  {{.}} monday.json tuesday.json --html week.html
  ssh server cat suite.json | {{.}} - --html suite.html`

// Command returns `bench report`; name is what the user calls it by.
func Command(name string) *cobra.Command {
	o := &Outputs{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Make a report of measurements: tables, or one HTML page",
		Long:    "Makes a report of the JSON files that the other commands of bench write.",
		Example: strings.ReplaceAll(examples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	cmd.Use = name + " FILE.json..."
	flags := cmd.Flags()
	flags.StringVar(&o.HTML, "html", "", "Write one HTML page that opens offline to this file, instead of tables to the terminal.")
	flags.StringVar(&o.JSON, "json", "", "Write the merged results as JSON to this file.")
	o.Complete(cmd)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cli.Usagef("no results given: name at least one JSON file")
		}
		return nil
	}
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := Load(cmd.InOrStdin(), args...)
		if err != nil {
			return err
		}
		if err := o.Save(f); err != nil {
			return err
		}
		if o.HTML != "" || o.JSON != "" {
			return nil
		}
		return Text(cmd.OutOrStdout(), f)
	}
	return cmd
}

// Load reads and merges the results of the files at paths; "-" is stdin.
func Load(stdin io.Reader, paths ...string) (*result.File, error) {
	files := make([]*result.File, 0, len(paths))
	for _, path := range paths {
		f, err := load(stdin, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files = append(files, f)
	}
	return Merge(files...), nil
}

func load(stdin io.Reader, path string) (*result.File, error) {
	if path == "-" {
		return result.Read(stdin)
	}
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return result.Read(in)
}
