package launch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// binary is a millrace: MILLRACE_BIN, or one that is built now.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("MILLRACE_BIN"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "millrace")
	out, err := exec.Command("go", "build", "-o", path, "github.com/millrace/millrace/cmd/millrace").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

func start(t *testing.T, o Options) *Broker {
	t.Helper()
	o.TempDir = t.TempDir()
	b, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.Background()) })
	return b
}

func TestBroker(t *testing.T) {
	bin := binary(t)
	t.Run("serves and stops", func(t *testing.T) {
		var printed bytes.Buffer
		b := start(t, Options{Binary: bin, Output: &printed, Config: map[string]string{"broker.id": "77"}})
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		client.Close()
		transport := &http.Transport{DisableKeepAlives: true}
		reply, err := (&http.Client{Transport: transport}).Get("http://" + b.Admin() + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		health, _ := io.ReadAll(reply.Body)
		reply.Body.Close()
		if !strings.Contains(string(health), `"brokerId":77`) {
			t.Errorf("the overrides did not arrive: %s", health)
		}
		if err := syscall.Kill(b.PID(), 0); err != nil {
			t.Errorf("process %d: %v", b.PID(), err)
		}
		if err := errors.Join(b.Stop(t.Context()), b.Stop(t.Context())); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(b.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was left: %v", b.Dir(), err)
		}
		if !strings.Contains(printed.String(), "msg=stopped") || b.Log() != printed.String() {
			t.Errorf("printed %q, kept %q", printed.String(), b.Log())
		}
	})
	t.Run("a given folder stays", func(t *testing.T) {
		dir := t.TempDir()
		for range 2 {
			b := start(t, Options{Binary: bin, Dir: dir, Config: map[string]string{"admin.listener": ""}})
			if b.Admin() != "" {
				t.Errorf("admin port %q, want none", b.Admin())
			}
			if err := b.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "data", "meta.properties")); err != nil {
			t.Error(err)
		}
	})
	t.Run("a broker that died is told", func(t *testing.T) {
		b := start(t, Options{Binary: bin})
		if err := syscall.Kill(b.PID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-b.Done()
		var stop *StopError
		if err := b.Stop(t.Context()); !errors.As(err, &stop) || !strings.Contains(err.Error(), "signal: killed") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a start that fails says why", func(t *testing.T) {
		temp := t.TempDir()
		_, err := Start(t.Context(), Options{Binary: bin, TempDir: temp, Config: map[string]string{"num.partitions": "none"}})
		var failed *StartError
		if !errors.As(err, &failed) || !strings.Contains(failed.Output, "num.partitions") {
			t.Errorf("got %v", err)
		}
		if left, _ := os.ReadDir(temp); len(left) > 0 {
			t.Errorf("left %v", left)
		}
	})
}

func TestStartGivesUp(t *testing.T) {
	silent := filepath.Join(t.TempDir(), "millrace")
	if err := os.WriteFile(silent, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var late *TimeoutError
	if _, err := Start(t.Context(), Options{Binary: silent, TempDir: t.TempDir(), Timeout: time.Millisecond}); !errors.As(err, &late) {
		t.Errorf("got %v", err)
	}
	if _, err := Start(t.Context(), Options{Binary: filepath.Join(t.TempDir(), "absent")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestOutputInPieces(t *testing.T) {
	text := "x is ready on-time\n\nMillrace dev is ready on 127.0.0.1:1234 (5 ms), its data in /d\n\n  metrics   curl http://127.0.0.1:99/metrics\n\nAny Kafka client works. Ctrl-C stops it.\n"
	for cut := range len(text) {
		o := newOutput(nil)
		for _, part := range []string{text[:cut], text[cut:]} {
			if _, err := o.Write([]byte(part)); err != nil {
				t.Fatal(err)
			}
		}
		address, admin := o.addresses()
		if !o.isReady || address != "127.0.0.1:1234" || admin != "127.0.0.1:99" {
			t.Fatalf("cut at %d: %v %q %q", cut, o.isReady, address, admin)
		}
	}
}
