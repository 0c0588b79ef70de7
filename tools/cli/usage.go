package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpColumn is where the texts of options start, and helpWidth where lines break.
const (
	helpColumn = 36
	helpWidth  = 110
)

// usage prints a command's examples and options in one readable column.
func usage(cmd *cobra.Command) error {
	out := cmd.OutOrStderr()
	called := Called(cmd.Use)
	if cmd.HasParent() {
		called = cmd.UseLine() // "millrace bench report FILE.json..."
	}
	fmt.Fprintf(out, "Usage:\n  %s [OPTION]...\n", called)
	if cmd.Example != "" {
		fmt.Fprintf(out, "\nExamples:\n%s\n", cmd.Example)
	}
	fmt.Fprintf(out, "\nOptions:\n")
	cmd.InitDefaultHelpFlag()
	cmd.Flags().Lookup("help").Usage = "Print this help."
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			fmt.Fprint(out, optionHelp(f))
		}
	})
	return nil
}

// optionHelp is the entry of one option: "  --name <value>   text", wrapped.
func optionHelp(f *pflag.Flag) string {
	head := "  --" + f.Name
	switch kind := f.Value.Type(); {
	case f.Annotations[optionalValue] != nil:
		head += " [<value>]"
	case kind == "int" || kind == "int64":
		head += " <number>"
	case kind != "bool":
		head += " <value>"
	}
	text := f.Usage
	if def := f.DefValue; def != "" && def != "[]" && def != "false" && def != "0" && def != "-1" {
		text += " (default: " + def + ")"
	}
	var b strings.Builder
	b.WriteString(head)
	column := len(head)
	if column > helpColumn-2 {
		b.WriteByte('\n')
		column = 0
	}
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
			column = 0
		}
		column = wrap(&b, column, line)
	}
	b.WriteByte('\n')
	return b.String()
}

// wrap writes the words of text from helpColumn on and returns the column it ended in.
func wrap(b *strings.Builder, column int, text string) int {
	for _, word := range strings.Fields(text) {
		if column >= helpColumn && column+1+len(word) > helpWidth {
			b.WriteByte('\n')
			column = 0
		}
		if column < helpColumn {
			b.WriteString(strings.Repeat(" ", helpColumn-column))
			column = helpColumn
		} else {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return column
}
