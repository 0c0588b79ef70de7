package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestNormalize(t *testing.T) {
	f := pflag.NewFlagSet("t", pflag.ContinueOnError)
	f.String("topic", "", "")
	f.String("time", "", "")
	f.Bool("list", false, "")
	f.String("codec", "", "")
	OptionalValue(f, "codec", "gzip")
	for in, want := range map[string]string{
		"-topic x":            "--topic=x",
		"--topic x -list":     "--topic=x --list",
		"--time -1":           "--time=-1",
		"--topic=x":           "--topic=x",
		"-topic=x":            "--topic=x",
		"--codec --list":      "--codec --list",
		"--codec zstd --list": "--codec=zstd --list",
		"--codec":             "--codec",
		"-x y":                "-x y",
		"-- -topic":           "-- -topic",
		"--topic":             "--topic",
	} {
		if got := strings.Join(Normalize(f, strings.Fields(in)), " "); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestExceptionName(t *testing.T) {
	for err, want := range map[error]string{
		kerr.TopicAlreadyExists:                         "org.apache.kafka.common.errors.TopicExistsException",
		kerr.UnknownTopicOrPartition:                    "org.apache.kafka.common.errors.UnknownTopicOrPartitionException",
		fmt.Errorf("wrapped: %w", kerr.PolicyViolation): "org.apache.kafka.common.errors.PolicyViolationException",
		kerr.InvalidPartitions:                          "org.apache.kafka.common.errors.InvalidPartitionsException",
		os.ErrNotExist:                                  "java.lang.IllegalArgumentException",
	} {
		if got := ExceptionName(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}

func TestPropsAndFilters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "client.properties")
	if err := os.WriteFile(path, []byte("# c\nsasl.mechanism = PLAIN\nkey.separator=\\t\nx=${HOME}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := LoadProps(path)
	if want := (Props{"sasl.mechanism": "PLAIN", "key.separator": "\t", "x": "${HOME}"}); err != nil || !reflect.DeepEqual(p, want) {
		t.Fatalf("%v %v, want %v", p, err, want)
	}
	if got := p.AddPairs([]string{"a=b=c", "d"}); got["a"] != "b=c" || got.Or("d", "x") != "" {
		t.Fatalf("%v", got)
	}
	user, password := jaasLogin(`org.apache.kafka.common.security.plain.PlainLoginModule required username="me" password="a\"b";`)
	if user != "me" || password != `a"b` {
		t.Fatalf("%q %q", user, password)
	}
	f, err := NewTopicFilter(`"a.*, b"`)
	if err != nil || !f.Allows("abc") || !f.Allows("b") || f.Allows("bb") || f.Allows("xa") {
		t.Fatalf("filter %v %v", f, err)
	}
	if _, err := NewTopicFilter("("); err == nil {
		t.Fatal("a broken expression was taken")
	}
	for list, ok := range map[string]bool{"h:1": true, "h:1,[::1]:2": true, "PLAINTEXT://h:9": true, "h": false, "": false, "h:x": false, "h:70000": false} {
		if _, err := Seeds(list); (err == nil) != ok {
			t.Errorf("%q: %v", list, err)
		}
	}
}

func TestJavaDouble(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.0", 1024: "1024.0", 12.5: "12.5", -3: "-3.0", 9999999: "9999999.0", 1e7: "1.0E7", 1.5e10: "1.5E10", 0.001: "0.001", 0.0001: "1.0E-4",
	} {
		if got := JavaDouble(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}

func TestSplitPartitions(t *testing.T) {
	got, err := SplitPartitions("clicks:3,0")
	if want := []Partition{{"clicks", 3}, {"clicks", 0}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v %v", got, err)
	}
	for _, bad := range []string{"clicks", "clicks:", ":1", "clicks:1:2", "clicks:x", "clicks:1,"} {
		if got, err := SplitPartitions(bad); err == nil {
			t.Errorf("%q was read as %v", bad, got)
		}
	}
}

// The line appears only for work that lasts, not more often than it can be read, and is
// gone at the end.
func TestProgress(t *testing.T) {
	var out strings.Builder
	now := time.Unix(0, 0)
	p := &Progress{out: &out, what: "groups described", now: func() time.Time { return now }, next: now.Add(progressAfter)}
	p.Set(1, 10)
	now = now.Add(progressAfter)
	p.Set(2, 10)
	p.Set(3, 10)
	now = now.Add(progressEvery)
	p.Set(4, 10)
	p.Close()
	p.Close()
	if want := "\r\x1b[Kgroups described: 2 of 10\r\x1b[Kgroups described: 4 of 10\r\x1b[K"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	quiet := NewProgress(&out, "x")
	now = now.Add(time.Hour)
	quiet.Set(1, 2)
	if strings.Contains(out.String(), "x:") {
		t.Error("a line went where nobody looks")
	}
}

// A word of a tool may stand before or after the flags, and one dash is enough.
func TestNormalizeFor(t *testing.T) {
	word := &cobra.Command{Use: "describe", Short: "s"}
	word.Flags().Bool("status", false, "")
	root := Commands(&cobra.Command{Use: "kafka-tool.sh"}, word)
	root.PersistentFlags().String("bootstrap-server", "", "")
	for in, want := range map[string]string{
		"--bootstrap-server h:1 describe --status": "describe --bootstrap-server=h:1 --status",
		"describe -bootstrap-server h:1 -status":   "describe --bootstrap-server=h:1 --status",
		"":                                         "",
	} {
		got := NormalizeFor(root, strings.Fields(in))
		if strings.Join(got, " ") != want || got == nil {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

// TestNoWarningOfAConnectionGivenUp: a client that is closed while it dials did not fail to.
func TestNoWarningOfAConnectionGivenUp(t *testing.T) {
	var out strings.Builder
	w := &dialWarner{out: &out, told: map[string]bool{}}
	at := kgo.BrokerMetadata{Host: "h", Port: 9092}
	for _, err := range []error{nil, context.Canceled, kgo.ErrClientClosed, fmt.Errorf("dial: %w", kgo.ErrClientClosed)} {
		w.OnBrokerConnect(at, 0, nil, err)
	}
	if out.Len() > 0 {
		t.Errorf("warned: %s", &out)
	}
	w.OnBrokerConnect(at, 0, nil, io.ErrUnexpectedEOF)
	if !strings.HasPrefix(out.String(), "WARN: Connection to h:9092 could not be established.") {
		t.Errorf("a failure: %q", &out)
	}
}
