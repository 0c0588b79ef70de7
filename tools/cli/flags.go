package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// optionalValue marks a flag that may stand without its value ("--compression-codec" or
// "--compression-codec snappy"), as jopt-simple's withOptionalArg.
const optionalValue = "millrace/optional-value"

// NoArguments is the annotation of commands that mean something without any argument; the
// others show their help then.
const NoArguments = "millrace/no-arguments"

// Normalize rewrites args so that pflag reads them as Kafka's tools (jopt-simple) do: a
// known option may be written with one dash (-daemon, -topic), and an option whose value
// is optional takes the next word when that is not an option.
func Normalize(flags *pflag.FlagSet, args []string) []string {
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(out, args[i:]...)
		}
		if len(a) > 2 && a[0] == '-' && a[1] != '-' {
			name, _, _ := strings.Cut(a[1:], "=")
			if flags.Lookup(name) != nil {
				a = "-" + a
			}
		}
		if !strings.HasPrefix(a, "--") {
			out = append(out, a)
			continue
		}
		name, _, hasValue := strings.Cut(a[2:], "=")
		f := flags.Lookup(name)
		switch {
		case f == nil || hasValue:
			out = append(out, a)
		case f.Annotations[optionalValue] != nil:
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++
				a += "=" + args[i]
			}
			out = append(out, a)
		case f.NoOptDefVal == "" && i+1 < len(args):
			// The next word is the value, whatever it looks like: "--time -1", "--offset -3".
			i++
			out = append(out, a+"="+args[i])
		default:
			out = append(out, a)
		}
	}
	return out
}

// NormalizeFor is Normalize for the command of root that args run; its name comes first then,
// wherever it stood.
func NormalizeFor(root *cobra.Command, args []string) []string {
	target, rest, err := root.Find(args)
	if err != nil || len(args) > 0 && strings.HasPrefix(args[0], "__complete") {
		return args
	}
	path := []string{} // never nil: cobra would take the process's own arguments
	for c := target; c != root && c != nil; c = c.Parent() {
		path = append([]string{c.Name()}, path...)
	}
	target.InitDefaultHelpFlag() // which joins the flags of the commands above
	return append(path, Normalize(target.Flags(), rest)...)
}

// OptionalValue lets flag name stand alone, with missing as its value then.
func OptionalValue(flags *pflag.FlagSet, name, missing string) {
	f := flags.Lookup(name)
	f.NoOptDefVal = missing
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[optionalValue] = []string{missing}
}

// Prepare sets the habits that all tools share on cmd: errors are reported by Report,
// flags keep their order, --version works, and no argument at all is a usage error.
func Prepare(cmd *cobra.Command) *cobra.Command {
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.Flags().SortFlags = false
	cmd.DisableFlagsInUseLine = true
	cmd.SetUsageFunc(usage)
	cmd.Flags().Bool("version", false, "Print the version.")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usagef("%s", err) })
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return Usagef("unexpected argument %q", args[0])
		}
		return nil
	}
	return cmd
}

// FirstOf returns the value of the first of the flags that was given.
func FirstOf(flags *pflag.FlagSet, names ...string) string {
	for _, n := range names {
		if f := flags.Lookup(n); f != nil && f.Changed {
			return f.Value.String()
		}
	}
	return ""
}

// Hide keeps flags out of the help: old words that still work.
func Hide(flags *pflag.FlagSet, names ...string) {
	for _, n := range names {
		flags.Lookup(n).Hidden = true
	}
}

// Called returns how a user types the tool: "kafka-topics.sh" and "zkServer.sh" as they are, a
// subcommand of the one binary with its program in front.
func Called(name string) string {
	if strings.HasPrefix(name, "kafka-") || strings.HasPrefix(name, "zk") && name != "zk" {
		return name
	}
	return "millrace " + name
}
