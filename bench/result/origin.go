package result

import (
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
)

// secret is a setting whose value does not belong into a file that is passed on.
var secret = regexp.MustCompile(`(?is)((?:^|[\s=,;])[-a-z._]*(?:password|jaas\.config|secret|token|key\.pem|keystore\.key)[a-z.]*=).*`)

// CommandLine is args (as os.Args) as one would type it, for File.Command: without the
// program's folder, quoted where a shell needs it, passwords left out.
func CommandLine(args []string) string {
	words := make([]string, len(args))
	for i, w := range args {
		if i == 0 {
			w = filepath.Base(w)
		}
		w = secret.ReplaceAllString(w, "${1}...")
		if w == "" || strings.ContainsAny(w, " \t\n\"'$*?|&;<>()\\#~`") {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

// Version is that of this program as its build knows it, for File.Version: the commit, with
// "+changes" when not all was committed; "" when the build does not tell.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	version, changes := info.Main.Version, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			version = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+changes"
		}
	}
	return version + changes
}
