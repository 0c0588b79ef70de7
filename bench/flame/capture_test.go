package flame

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/tools/cli"
)

// admin answers as an admin port, notes what was asked, and gives the same profile always.
func admin(t *testing.T) (address string, asked *[]string) {
	asked = new([]string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.Path+"?"+r.URL.RawQuery)
		switch {
		case strings.HasSuffix(r.URL.Path, "/block"):
			http.Error(w, "not now", http.StatusConflict)
		case strings.HasSuffix(r.URL.Path, "/mutex"):
			_, _ = w.Write([]byte("<html>no profile</html>"))
		default:
			_ = stacks("cpu", "nanoseconds", map[string]int64{"main.main;main.work": 1000}).Write(w)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), asked
}

func TestCapture(t *testing.T) {
	address, asked := admin(t)
	for _, c := range []struct {
		kind    Kind
		seconds float64
		want    string
	}{
		{CPU, 2.9, "/debug/pprof/profile?seconds=2"}, {Allocs, 0, "/debug/pprof/allocs?seconds=1"},
		{Wall, 5, "/debug/fgprof?seconds=5"}, {OffCPU, 5, "/debug/fgprof?seconds=5"},
	} {
		*asked = nil
		p, err := Capture(t.Context(), address, c.kind, c.seconds)
		if err != nil || len(p.Sample) != 1 || !slices.Equal(*asked, []string{c.want}) {
			t.Errorf("%s: asked for %q, want %q; %v", c.kind, *asked, c.want, err)
		}
	}
	for kind, want := range map[Kind]string{Block: "409 Conflict: not now", Mutex: "no profile came back"} {
		var failed *CaptureError
		_, err := Capture(t.Context(), address, kind, 1)
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), address) {
			t.Errorf("%s: %v, want a CaptureError with %q", kind, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range []Kind{CPU, Heap} {
		if _, err := Capture(ctx, address, kind, 3600); !errors.Is(err, context.Canceled) {
			t.Errorf("%s of a cancelled context: %v", kind, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := Capture(t.Context(), l.Addr().String(), CPU, 1); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // of the error; "": none
		on   bool
	}{
		{nil, "", false},
		{[]string{"--flame", "a.svg", "--admin", "127.0.0.1:1"}, "", true},
		{[]string{"--profile-out", "a.pb.gz", "--admin", "127.0.0.1:1", "--profile", "heap,offcpu"}, "", true},
		{[]string{"--flame", "a.svg"}, "--admin HOST:PORT", true},
		{[]string{"--profile", "cpu,disk"}, "--profile disk", false},
	} {
		cmd := &cobra.Command{}
		f := AddFlags(cmd)
		if err := cmd.ParseFlags(c.args); err != nil {
			t.Fatal(err)
		}
		err := f.Check()
		var usage *cli.UsageError
		if f.Enabled() != c.on || (c.want == "") != (err == nil) || err != nil && (!errors.As(err, &usage) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: enabled %v, %v; want %v, %q", c.args, f.Enabled(), err, c.on, c.want)
		}
	}
	var none *Flags
	if files, err := none.Take(t.Context(), time.Hour, ""); none.Check() != nil || err != nil || files != nil {
		t.Errorf("no flags at all: %q, %v", files, err)
	}
}

// One profile that fails does not cost the others.
func TestTakeWritesWhatItGets(t *testing.T) {
	address, _ := admin(t)
	dir := t.TempDir()
	f := &Flags{SVG: filepath.Join(dir, "a.svg"), Out: filepath.Join(dir, "a.pb.gz"), Kinds: []string{"block", "cpu"}, Admin: address}
	files, err := f.Take(t.Context(), 2*time.Second, "what ran")
	var failed *CaptureError
	if want := []string{filepath.Join(dir, "a.cpu.pb.gz"), filepath.Join(dir, "a.cpu.svg")}; !slices.Equal(files, want) || !errors.As(err, &failed) || failed.Kind != Block {
		t.Fatalf("%q, %v; want %q and the blocking profile's error", files, err, want)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if p, err := profile.Parse(bytes.NewReader(raw)); err != nil || len(p.Sample) != 1 {
		t.Errorf("the profile was kept as %v, %v", p, err)
	}
	svg, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, texts := read(t, svg); !strings.Contains(texts, "what ran") {
		t.Error("the drawing has no note")
	}
	var short *ShortError
	if files, err := f.Take(t.Context(), 1900*time.Millisecond, ""); !errors.As(err, &short) || files != nil {
		t.Errorf("two kinds in less than two seconds: %q, %v", files, err)
	}
	f.Kinds, f.Out = []string{"cpu"}, ""
	if files, err := f.Take(t.Context(), time.Second, ""); err != nil || !slices.Equal(files, []string{f.SVG}) {
		t.Errorf("one kind: %q, %v", files, err)
	}
}
