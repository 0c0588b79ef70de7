package zk

import (
	"context"

	"github.com/millrace/millrace/quorum/client"
)

// command is one that needs a server.
type command struct {
	name string
	form string // of its options and words
	options
	words int  // how many are needed, the name among them
	raw   bool // takes its words as they are
	run   func(ctx context.Context, s *shell, p *parsed) error
}

// usage is the form of the command, which is also what it says when words are missing.
func (c *command) usage() string { return c.name + " " + c.form }

// commands are those of ZooKeeper 3.8.
func commands() []*command {
	flag := func(name, help string) option { return option{name: name, help: help} }
	with := func(name, help string) option { return option{name: name, argument: true, help: help} }
	stats, watch, version := flag("s", "stats"), flag("w", "watch"), with("v", "version")
	return []*command{
		{name: "ls", form: "[-s] [-w] [-R] path", options: options{list: []option{flag("?", "help"), flag("R", "recurse"), flag("s", "stat"), watch}}, words: 1, run: ls},
		{name: "get", form: "[-s] [-w] [-b] [-x] path", options: options{list: []option{stats, watch, flag("b", "base64"), flag("x", "hexdump")}}, words: 2, run: get},
		{name: "set", form: "[-s] [-v version] path data", options: options{list: []option{stats, version}}, words: 3, run: set},
		{name: "create", form: "[-s] [-e] [-c] [-t ttl] path [data] [acl]", words: 2, run: create,
			options: options{list: []option{flag("e", "ephemeral"), flag("s", "sequential"), flag("c", "container"), with("t", "ttl")}}},
		{name: "delete", form: "[-v version] path", options: options{list: []option{version}}, words: 2, run: remove},
		{name: "deleteall", form: "path [-b batch size]", options: options{list: []option{with("b", "batch size")}}, words: 2, run: removeAll},
		{name: "stat", form: "[-w] path", options: options{list: []option{watch}}, words: 2, run: stat},
		{name: "sync", form: "path", words: 2, run: syncPath},
		{name: "getAcl", form: "[-s] path", options: options{list: []option{stats}}, words: 2, run: getACL},
		{name: "setAcl", form: "[-s] [-v version] [-R] path acl", options: options{list: []option{stats, version, flag("R", "recursive")}}, words: 3, run: setACL},
		{name: "addauth", form: "scheme auth", words: 2, run: addAuth},
		{name: "setquota", form: "-n|-b|-N|-B val path", words: 2, run: setQuota, options: options{groupRequired: true, group: []option{
			with("n", "num soft quota"), with("b", "bytes soft quota"), with("N", "num hard quota"), with("B", "bytes hard quota")}}},
		{name: "listquota", form: "path", words: 2, run: listQuota},
		{name: "delquota", form: "[-n|-b|-N|-B] path", words: 2, run: removeQuota, options: options{group: []option{
			flag("n", "num soft quota"), flag("b", "bytes soft quota"), flag("N", "num hard quota"), flag("B", "bytes hard quota")}}},
		{name: "config", form: "[-c] [-w] [-s]", options: options{list: []option{stats, watch, flag("c", "client connection string")}}, words: 1, run: config},
		{name: "reconfig", words: 1, run: reconfig,
			form: "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
			options: options{list: []option{stats, version, with("file", "path of config file to parse for membership"), with("members", "comma-separated list of config strings for non-incremental reconfig"),
				with("add", "comma-separated list of config strings for new servers"), with("remove", "comma-separated list of server IDs to remove")}}},
		{name: "addWatch", form: "[-m mode] path # optional mode is one of [PERSISTENT, PERSISTENT_RECURSIVE] - default is PERSISTENT_RECURSIVE", words: 1, run: addWatch,
			options: options{list: []option{with("m", "")}}},
		{name: "removewatches", form: "path [-c|-d|-a] [-l]", words: 2, run: removeWatches,
			options: options{list: []option{flag("c", "child watcher type"), flag("d", "data watcher type"), flag("a", "any watcher type"), flag("l", "remove locally when there is no server connection")}}},
		{name: "getEphemerals", form: "path", words: 1, run: getEphemerals},
		{name: "getAllChildrenNumber", form: "path", words: 2, run: getAllChildrenNumber},
		{name: "whoami", raw: true, run: whoAmI},
		{name: "version", words: 1, run: showVersion},
		{name: "close", raw: true, run: func(ctx context.Context, s *shell, _ *parsed) error {
			s.close(ctx)
			return nil
		}},
	}
}

// find returns the command of a name, nil when there is none.
func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return c
		}
	}
	return nil
}

// unwatched is the watch of commands with -w: the shell prints events by itself, once each.
func unwatched(client.Event) {}

// oldWatch reads "ls path watch", which was the form before options: any third word is -w.
func oldWatch(s *shell, p *parsed, old, now string) {
	if len(p.words) > 2 {
		s.deprecated(old, now)
		p.values["w"] = ""
	}
}
