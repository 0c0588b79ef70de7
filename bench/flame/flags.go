package flame

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

// Flags are the profiles that a user asked for.
type Flags struct {
	SVG   string   // --flame: file for the drawing; empty: none
	Kinds []string // --profile
	Out   string   // --profile-out: file for the profile itself, for go tool pprof; empty: none
	Admin string   // --admin: HOST:PORT of the broker's admin port; a driver that starts the broker sets it
}

// AddFlags gives a command the flags of profiles.
func AddFlags(cmd *cobra.Command) *Flags {
	f := &Flags{}
	names := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		names = append(names, string(k))
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Admin, "admin", "", "`HOST:PORT` of the broker's admin port (admin.listener): allocations, GC time and profiles come from there.")
	flags.StringVar(&f.SVG, "flame", "", "Draw a flame graph of the broker during the steady phase into `FILE.svg`. Needs --admin.")
	flags.StringSliceVar(&f.Kinds, "profile", []string{string(CPU)}, "What --flame and --profile-out show: "+strings.Join(names, ", ")+". Several, with commas, share the steady phase and get the kind into their file names.")
	flags.StringVar(&f.Out, "profile-out", "", "Keep the profile in `FILE.pb.gz`, for go tool pprof. Needs --admin.")
	_ = cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("flame", cobra.FixedCompletions([]string{"svg"}, cobra.ShellCompDirectiveFilterFileExt))
	return f
}

// Enabled reports whether any profile was asked for. A nil *Flags asks for none.
func (f *Flags) Enabled() bool { return f != nil && (f.SVG != "" || f.Out != "") }

// Check says what is wrong with the flags, as a usage error, before anything runs.
func (f *Flags) Check() error {
	if f == nil {
		return nil
	}
	for _, k := range f.Kinds {
		if !Kind(k).known() {
			return cli.Usagef("--profile %s: no such profile; there are %v", k, Kinds())
		}
	}
	if f.Enabled() && f.Admin == "" {
		return cli.Usagef("--flame and --profile-out need --admin HOST:PORT, the broker's admin port (Millrace: admin.listener, 127.0.0.1:9644 by default)")
	}
	return nil
}

// Take takes the profiles that were asked for within the steady phase, and writes their
// files. Several kinds are taken one after the other, each in its share of the time: taken
// together they would show each other. note goes under the title of the drawings. What was
// taken before an error is written; a steady phase of less than a second for each is a
// *ShortError. Files names what was written, also with an error.
func (f *Flags) Take(ctx context.Context, steady time.Duration, note string) (files []string, err error) {
	if !f.Enabled() {
		return nil, nil
	}
	kinds := slices.Compact(slices.Clone(f.Kinds))
	share := steady.Seconds() / float64(max(len(kinds), 1))
	if share < 1 {
		return nil, &ShortError{len(kinds), steady}
	}
	var errs []error
	for _, name := range kinds {
		kind := Kind(name)
		p, err := Capture(ctx, f.Admin, kind, share)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if f.Out != "" {
			file := named(f.Out, ".pb.gz", kind, len(kinds))
			var buf bytes.Buffer
			err := p.Write(&buf)
			if err == nil {
				err = os.WriteFile(file, buf.Bytes(), 0o644)
			}
			errs = append(errs, err)
			files = append(files, file)
		}
		if f.SVG != "" {
			file := named(f.SVG, ".svg", kind, len(kinds))
			errs = append(errs, os.WriteFile(file, Draw(p, Options{Kind: kind, Note: note}), 0o644))
			files = append(files, file)
		}
	}
	return files, errors.Join(errs...)
}

// named puts the kind before a file name's extension when there are several.
func named(file, ext string, kind Kind, of int) string {
	if of < 2 {
		return file
	}
	base, ok := strings.CutSuffix(file, ext)
	if !ok {
		ext = filepath.Ext(file)
		base = strings.TrimSuffix(file, ext)
	}
	return base + "." + string(kind) + ext
}

// ShortError is a steady phase that has no room for its profiles.
type ShortError struct {
	Profiles int
	Steady   time.Duration
}

func (e *ShortError) Error() string {
	return fmt.Sprintf("%d profiles of at least a second each do not fit into a steady phase of %v: ask for fewer, or for a longer run", e.Profiles, e.Steady)
}
