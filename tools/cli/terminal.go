package cli

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Interrupted is the exit code of a tool that was ended by Ctrl-C (128 + SIGINT), the
// same as that of Kafka's tools.
const Interrupted = 130

// Interactive says whether a person sits at both ends.
func Interactive(in io.Reader, out io.Writer) bool {
	i, inFile := in.(*os.File)
	o, outFile := out.(*os.File)
	return inFile && outFile && term.IsTerminal(int(i.Fd())) && term.IsTerminal(int(o.Fd()))
}
