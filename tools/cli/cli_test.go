package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kerr"
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
