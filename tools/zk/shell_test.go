package zk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
)

func TestWords(t *testing.T) {
	for line, want := range map[string]string{
		"ls /":                          "ls|/",
		"  create   /a  'b c'  \"d e\"": "create|/a|b c|d e",
		"set /a \"it's\"":               "set|/a|it's",
		"set /a b\"c d\"":               "set|/a|b\"c|d\"",
		"get ''":                        "get|",
		"":                              "",
	} {
		if got := strings.Join(words(line), "|"); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	o := options{list: []option{{name: "s"}, {name: "w"}, {name: "v", argument: true}, {name: "file", argument: true}}}
	for line, want := range map[string]string{
		"set -s -v 3 /a b":    "set /a b [s= v=3]",
		"set /a -v3 b -s":     "set /a b [s= v=3]",
		"set /a -v=3 b -sw":   "set /a b [s= v=3 w=]",
		"set -swv3 /a":        "set /a [s= v=3 w=]",
		"set -v -1 /a":        "set /a [v=-1]",
		"set -- -v /a":        "set -v /a []",
		"set - /a":            "set - /a []",
		"set -file x -file y": "set [file=y]",
		"set -v":              "org.apache.commons.cli.MissingArgumentException: Missing argument for option: v",
		"set -v -s /a":        "org.apache.commons.cli.MissingArgumentException: Missing argument for option: v",
		"set -x":              "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -x",
		"set --s":             "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: --s",
		"set -s=1":            "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -s=1",
		"set -sx /a":          "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -sx",
		"set -file=x /a":      "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -file=x",
		"set -v \"x\" /a":     "set /a [v=x]",
	} {
		p, err := o.parse(strings.Fields(line))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			var values []string
			for k, v := range p.values {
				values = append(values, k+"="+v)
			}
			slices.Sort(values)
			got = strings.Join(p.words, " ") + " [" + strings.Join(values, " ") + "]"
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", line, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	for want, err := range map[string]error{
		"Node does not exist: /a":                          &client.Error{Code: jute.NoNode, Path: "/a"},
		"Node not empty: /a":                               &client.Error{Code: jute.NotEmpty, Path: "/a"},
		"Acl is not valid : null":                          &client.Error{Code: jute.InvalidACL},
		"version No is not valid : /a":                     &client.Error{Code: jute.BadVersion, Path: "/a"},
		"Quota has exceeded : /a":                          &client.Error{Code: jute.QuotaExceeded, Path: "/a"},
		"KeeperErrorCode = Session expired for /a":         &client.Error{Code: jute.SessionExpired, Path: "/a"},
		"KeeperErrorCode = No such watcher for /a":         &client.Error{Code: jute.NoWatcher, Path: "/a"},
		"KeeperErrorCode = ConnectionLoss for /a (broken)": &client.Error{Code: jute.ConnectionLoss, Path: "/a", Cause: errors.New("broken")},
		"Path must start with / character":                 &client.Error{Code: jute.BadArguments, Path: "a", Cause: jute.CheckPath("a", false)},
		"Arguments are not valid : /":                      &client.Error{Code: jute.BadArguments, Path: "/"},
		"other":                                            errors.New("other"),
	} {
		if got := explain(err).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if explain(nil) != nil {
		t.Error("nothing was explained")
	}
}

func TestHexDump(t *testing.T) {
	// As Netty 4 prints it.
	want := strings.Join([]string{
		"         +-------------------------------------------------+",
		"         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |",
		"+--------+-------------------------------------------------+----------------+",
		"|00000000| 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 |0123456789abcdef|",
		"|00000010| 00 7f ff                                        |...             |",
		"+--------+-------------------------------------------------+----------------+",
	}, "\n")
	if got := hexDump([]byte("0123456789abcdef\x00\x7f\xff")); got != want {
		t.Errorf("got\n%s", got)
	}
	if hexDump(nil) != "" {
		t.Error("nothing has a dump")
	}
}

func TestTrack(t *testing.T) {
	for in, want := range map[string]string{
		"":                "count=-1,bytes=-1",
		"count=5,bytes=7": "count=5,bytes=7",
		"count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=9": "count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=9",
	} {
		q, err := parseTrack([]byte(in))
		if err != nil || q.String() != want {
			t.Errorf("%q: %v, %v", in, q, err)
		}
	}
	for _, in := range []string{"count", "count=x", ",=,;", "bytes=99999999999999999999"} {
		if q, err := parseTrack([]byte(in)); err == nil && in != ",=,;" {
			t.Errorf("%q: %v", in, q)
		}
	}
}

func TestACLs(t *testing.T) {
	var errs, out bytes.Buffer
	acl := parseACL("world:anyone:cdrwa,digest:u:aGFzaA==:rz,ip:::1:w,bad", &errs)
	printACL(&out, acl)
	want := "'world,'anyone\n: cdrwa\n'digest,'u:aGFzaA==\n: r\n'ip,'::1\n: w\n"
	if out.String() != want || errs.String() != "Unknown perm type: z\nbad does not have the form scheme:id:perm\n" {
		t.Errorf("got %q and %q", out.String(), errs.String())
	}
}

func TestClientAddresses(t *testing.T) {
	const text = "server.1=a:2888:3888:participant;127.0.0.1:2181\nserver.2=b:2888:3888:observer;2182\nserver.3=c:2888:3888\nversion=100000000"
	if got := clientAddresses(text); got != "100000000 127.0.0.1:2181,0.0.0.0:2182," {
		t.Errorf("got %q", got)
	}
	if got := clientAddresses(""); got != " " {
		t.Errorf("got %q", got)
	}
}

func TestCompleteLine(t *testing.T) {
	names := func(dir string) []string {
		return map[string][]string{"/": {"brokers", "zookeeper", "zoo"}, "/zoo": nil, "/brokers": {"ids"}, "/a b": {"c"}}[dir]
	}
	for _, c := range []struct {
		line   string
		pos    int // -1: the end
		want   string
		offers string
	}{
		{"l", -1, "l", "listquota ls"},
		{"ls", -1, "ls ", ""},
		{"dele", -1, "delete", ""},
		{"delete", -1, "delete", "delete deleteall"},
		{"x", -1, "x", ""},
		{"ls /b", -1, "ls /brokers", ""},
		{"ls /z", -1, "ls /zoo", ""},
		{"ls /zoo", -1, "ls /zoo", "zoo zookeeper"},
		{"ls /brokers/", -1, "ls /brokers/ids", ""},
		{"ls /nope/", -1, "ls /nope/", ""},
		{"ls /b -s", 5, "ls /brokers -s", ""},
	} {
		pos := c.pos
		if pos < 0 {
			pos = len(c.line)
		}
		line, newPos, offers := completeLine(c.line, pos, names)
		if line != c.want || strings.Join(offers, " ") != c.offers || line[newPos:] != c.line[pos:] {
			t.Errorf("%q at %d: %q at %d, %v", c.line, pos, line, newPos, offers)
		}
	}
}

func TestHistoryIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history")
	var errs bytes.Buffer
	h := loadHistory(path, &errs)
	for _, line := range []string{"ls /", "ls /", " ", "addauth digest u:secret", "get /a"} {
		h.Add(line)
	}
	again := loadHistory(path, &errs)
	if again.Len() != 2 || again.At(0) != "get /a" || again.At(1) != "ls /" || errs.Len() != 0 {
		t.Errorf("got %q, %s", again.lines, &errs)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Error(st, err)
	}
	long := strings.Repeat("x\ny\n", historyLines+1)
	if err := os.WriteFile(path, []byte(long), 0o600); err != nil {
		t.Fatal(err)
	}
	if h := loadHistory(path, &errs); h.Len() != historyLines || loadHistory(path, &errs).Len() != historyLines {
		t.Errorf("%d lines", h.Len())
	}
	bad := loadHistory(filepath.Join(path, "below"), &errs)
	bad.Add("one")
	bad.Add("two")
	if bad.Len() != 2 || strings.Count(errs.String(), "the history is not kept") != 1 {
		t.Errorf("told %q", errs.String())
	}
}

func TestArguments(t *testing.T) {
	var errs bytes.Buffer
	a, err := parseArguments([]string{"-server", "h:1/x", "--timeout=500", "-r", "-waitforconnection", "ls", "-s", "/"}, &errs)
	if err != nil || a.server != "h:1/x" || a.timeout.Milliseconds() != 500 || !a.readOnly || !a.wait || strings.Join(a.command, " ") != "ls -s /" {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := parseArguments(nil, &errs); err != nil || a.server != "localhost:2181" || a.timeout.Seconds() != 30 || a.command != nil {
		t.Errorf("%+v, %v", a, err)
	}
	for line, want := range map[string]string{
		"-server":                      "Error: no argument found for option -server",
		"-timeout x":                   "-timeout is a number of milliseconds",
		"-timeout 0":                   "-timeout is a number of milliseconds",
		"-foo ls /":                    "unknown option -foo",
		"-client-configuration /no/pe": "/no/pe",
	} {
		if _, err := parseArguments(strings.Fields(line), &errs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestClientConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "client.properties")
	read := func(text string) (*clientConfig, string, error) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		c, err := readClientConfig(file, &errs)
		return c, errs.String(), err
	}
	c, told, err := read("zookeeper.client.secure=true\njute.maxbuffer=0x400\nzookeeper.ssl.hostnameVerification=false\nzookeeper.ssl.trustStore.location=/t.pem\nzookeeper.sasl.client=false\n")
	if err != nil || !c.secure || c.maxBuffer != 1024 || c.tls.VerifyHostname || c.tls.TrustStore.Location != "/t.pem" || !strings.Contains(told, ":5: zookeeper.sasl.client has no effect") {
		t.Errorf("%+v, %q, %v", c, told, err)
	}
	if _, err := c.dialer(); err == nil || !strings.Contains(err.Error(), "/t.pem") {
		t.Errorf("a trust store that is not there: %v", err)
	}
	for text, want := range map[string]string{
		"zookeeper.client.secure=maybe":       ":1: zookeeper.client.secure=maybe: it is true or false",
		"\njute.maxbuffer=-5":                 ":2: jute.maxbuffer=-5: it is a number of bytes above 0",
		"zookeeper.ssl.keyStore.type=JKS":     "only PEM files",
		"zookeeper.ssl.protocol=SSLv3":        "TLSv1.2 or TLSv1.3",
		"zookeeper.ssl.keyStore.location=\\u": "client.properties",
	} {
		if _, _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestHelp(t *testing.T) {
	r := ours(t, "", "--help")
	for _, want := range []string{"zkCli.sh -server zk1:2181", "-waitforconnection", "  addWatch [-m mode] path", "  redo cmdno", historyFile} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the help lacks %q", want)
		}
	}
	if r.code != 0 || r.errs != "" {
		t.Errorf("%d, %s", r.code, r.errs)
	}
	if r := ours(t, "", "-foo"); r.code != 1 || !strings.Contains(r.errs, "unknown option -foo") || !strings.Contains(r.errs, "--help") {
		t.Errorf("%+v", r)
	}
	if r := ours(t, "", "-server", ":x", "ls", "/"); r.code != 1 || !strings.Contains(r.errs, `port "x"`) {
		t.Errorf("%+v", r)
	}
}
