package zk

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/client"
	"github.com/millrace/millrace/quorum/jute"
	"github.com/millrace/millrace/quorum/zoocfg"
)

func config(ctx context.Context, s *shell, p *parsed) error {
	reply, err := s.zk.Do(ctx, &client.Request{Op: jute.OpGetData, Path: client.ConfigNode, NoChroot: true, Watch: p.watcher()})
	if err != nil {
		return explain(err)
	}
	if p.has("c") {
		fmt.Fprintln(s.out, clientAddresses(text(reply.Data)))
	} else {
		fmt.Fprintln(s.out, text(reply.Data))
	}
	if p.has("s") {
		printStat(s.out, &reply.Stat)
	}
	return nil
}

// clientAddresses is the version of a configuration and where its servers take clients.
func clientAddresses(configuration string) string {
	version := ""
	var addresses []string
	for line := range strings.Lines(configuration) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch {
		case key == "version":
			version = value
		case strings.HasPrefix(key, "server."):
			// A server that does not say where leaves its comma.
			_, client, ok := strings.Cut(value, ";")
			if ok {
				client = withHost(client)
			}
			addresses = append(addresses, client)
		}
	}
	return version + " " + strings.Join(addresses, ",")
}

// withHost adds the address that a bare port stands for.
func withHost(client string) string {
	if strings.Contains(client, ":") {
		return client
	}
	return "0.0.0.0:" + client
}

// reconfigRequest reads the options of reconfig.
func reconfigRequest(p *parsed) (*jute.ReconfigRequest, error) {
	file, members := p.has("file"), p.has("members")
	add, remove := p.has("add"), p.has("remove")
	if !file && !members && !add && !remove {
		return nil, failure(find("reconfig").usage())
	}
	m := &jute.ReconfigRequest{CurConfigID: -1}
	if p.has("v") {
		v, err := strconv.ParseInt(p.values["v"], 16, 64)
		if err != nil {
			return nil, failure("-v must be followed by a long (configuration version)")
		}
		m.CurConfigID = v
	}
	switch {
	case (file || members) && (add || remove):
		return nil, failure("Can't use -file or -members together with -add or -remove (mixing incremental and non-incremental modes is not allowed)")
	case file && members:
		return nil, failure("Can't use -file and -members together (conflicting non-incremental modes)")
	}
	m.Joining, m.Leaving = strings.ToLower(p.values["add"]), strings.ToLower(p.values["remove"])
	m.NewMembers = strings.ToLower(p.values["members"])
	if file {
		text, err := os.ReadFile(p.values["file"])
		if err != nil {
			return nil, failure("Error processing " + p.values["file"] + ": " + err.Error())
		}
		servers, _, err := zoocfg.ParseServers(string(text))
		if err != nil {
			return nil, failure("Error processing " + p.values["file"] + ": " + err.Error())
		}
		m.NewMembers = zoocfg.FormatServers(servers)
	}
	return m, nil
}

func reconfig(ctx context.Context, s *shell, p *parsed) error {
	m, err := reconfigRequest(p)
	if err != nil {
		return err
	}
	data, st, err := s.zk.Reconfig(ctx, *m)
	if err != nil {
		return explain(err)
	}
	fmt.Fprintf(s.out, "Committed new configuration:\n%s\n", text(data))
	if p.has("s") {
		printStat(s.out, &st)
	}
	return nil
}

// zooKeeperVersion is whose commands these are.
const zooKeeperVersion = "3.8.0"

func showVersion(_ context.Context, s *shell, p *parsed) error {
	if len(p.words) > 1 {
		return failure(find("version").usage())
	}
	revision, built := "millrace", "an unknown date"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, kv := range info.Settings {
			switch {
			case kv.Key == "vcs.revision" && len(kv.Value) > 12:
				revision = "millrace-" + kv.Value[:12]
			case kv.Key == "vcs.time":
				built = kv.Value
			}
		}
	}
	fmt.Fprintf(s.out, "ZooKeeper CLI version: %s-%s, built on %s\n", zooKeeperVersion, revision, built)
	return nil
}
