package clitest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// updateEnv rewrites the golden files: look at what git says then.
const updateEnv = "UPDATE_GOLDEN"

// Script runs the command lines of testdata/name.golden and compares what they print.
// The file reads like a terminal: "$ words" is a command line (single quotes group), "| "
// a line on stdout, "! " one on stderr, "= 1" the exit code when it is not 0, "#" a
// comment. A "¶" stands after a blank at the end of a line. Output goes through scrub.
func Script(t *testing.T, name string, scrub *strings.Replacer, run func(words ...string) Result) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, line := range strings.SplitAfter(string(want), "\n") {
		switch {
		case strings.HasPrefix(line, "$ "):
			got.WriteString(line)
			r := run(shellWords(strings.TrimSpace(line[2:]))...)
			write(&got, "|", scrub.Replace(r.Out))
			write(&got, "!", scrub.Replace(r.Err))
			if r.Code != 0 {
				got.WriteString("= " + strconv.Itoa(r.Code) + "\n")
			}
		case strings.HasPrefix(line, "|"), strings.HasPrefix(line, "!"), strings.HasPrefix(line, "="):
		default:
			got.WriteString(line)
		}
	}
	if bytes.Equal(got.Bytes(), want) {
		return
	}
	if os.Getenv(updateEnv) != "" {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	wantLines, gotLines := strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")
	for i := range max(len(wantLines), len(gotLines)) {
		w, g := lineAt(wantLines, i), lineAt(gotLines, i)
		if w != g {
			t.Fatalf("%s:%d\nwant %q\ngot  %q\n(%s=1 rewrites the file)\nall of it:\n%s", path, i+1, w, g, updateEnv, got.String())
		}
	}
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end of file)"
}

func write(b *bytes.Buffer, prefix, text string) {
	if text == "" {
		return
	}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line != "" {
			line = " " + line
		}
		if strings.HasSuffix(line, " ") || strings.HasSuffix(line, "\t") {
			line += "¶"
		}
		b.WriteString(prefix + line + "\n")
	}
}

// shellWords splits line at blanks that are not between single quotes.
func shellWords(line string) []string {
	var words []string
	var word strings.Builder
	quoted, started := false, false
	for _, c := range line {
		switch {
		case c == '\'':
			quoted, started = !quoted, true
		case c == ' ' && !quoted:
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteRune(c)
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words
}
