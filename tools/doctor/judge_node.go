package doctor

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

// risk is a setting with a value that costs something.
type risk struct {
	key      string
	bad      func(value string, all map[string]string) bool
	severity Severity
	text     string
	remedy   string
}

// unlimited is the default of settings that mean "never" by a number that nobody reaches.
const unlimited = "9223372036854775807"

func is(value string) func(string, map[string]string) bool {
	return func(v string, _ map[string]string) bool { return v == value }
}

// number returns a setting as a number, missing when it is none.
func number(all map[string]string, key string, missing int64) int64 {
	if n, err := strconv.ParseInt(all[key], 10, 64); err == nil {
		return n
	}
	return missing
}

func risks() []risk {
	return []risk{
		{"unclean.leader.election.enable", is("true"), Warning, "a replica that is behind may become leader: acknowledged records are lost then", "unclean.leader.election.enable=false"},
		{"default.replication.factor", func(v string, all map[string]string) bool {
			return v != "1" && v != "" && number(all, "min.insync.replicas", 1) == 1
		}, Warning, "with min.insync.replicas=1 acks=all is satisfied by the leader alone", "min.insync.replicas=2"},
		{"min.insync.replicas", func(_ string, all map[string]string) bool {
			return number(all, "min.insync.replicas", 1) > number(all, "default.replication.factor", 1)
		}, Critical, "it is more than default.replication.factor: no producer with acks=all can write to a new topic", "min.insync.replicas no larger than default.replication.factor"},
		{"log.retention.ms", func(v string, all map[string]string) bool {
			return v == "-1" && number(all, "log.retention.bytes", -1) == -1
		}, Warning, "and no log.retention.bytes: records are kept for ever, the disk fills up", "a limit of time or bytes, at least for each topic"},
		{"log.retention.hours", func(v string, all map[string]string) bool {
			return v == "-1" && all["log.retention.ms"] == "" && all["log.retention.minutes"] == "" && number(all, "log.retention.bytes", -1) == -1
		}, Warning, "and no log.retention.bytes: records are kept for ever, the disk fills up", "a limit of time or bytes, at least for each topic"},
		{"log.segment.bytes", func(_ string, all map[string]string) bool {
			return number(all, "log.segment.bytes", 1<<30) < 10<<20
		}, Warning, "so small segments make very many files", "log.segment.bytes=1073741824"},
		{"auto.create.topics.enable", is("true"), Note, "a misspelt name makes a topic", "auto.create.topics.enable=false where topics are made on purpose"},
		{"log.flush.interval.messages", func(_ string, all map[string]string) bool {
			return number(all, "log.flush.interval.messages", 1<<62) != 1 && number(all, "default.replication.factor", 1) <= 1
		}, Note, "one replica, and the kernel chooses when to write: a power cut may lose acknowledged records", "log.flush.interval.messages=1, or flush.messages=1 for the topics that matter"},
	}
}

func judgeConfig(f *facts) []Finding {
	c := f.config
	var out []Finding
	for _, p := range c.problems {
		out = append(out, critical("mend the line; the broker does not start with it", "%s", p))
	}
	for _, w := range c.warnings {
		if w.unknown {
			out = append(out, warn("correct or remove it (docs/config.md lists all settings)", "%s", w.text))
		} else {
			out = append(out, note("", "%s", w.text))
		}
	}
	for _, r := range risks() {
		if v, known := c.values[r.key]; known && r.bad(v, c.values) {
			what := r.key + "=" + v
			if !c.isSet[r.key] {
				what += " (the default)"
			}
			if v == unlimited {
				what = r.key + " is not set"
			}
			out = append(out, Finding{Severity: r.severity, Text: what + ": " + r.text, Remedy: r.remedy})
		}
	}
	if at := c.values["admin.listener"]; at != "" {
		if host, _, err := net.SplitHostPort(at); err == nil && !isLoopback(host) {
			out = append(out, warn("admin.listener=127.0.0.1:9644, and a proxy with authentication before it", "admin.listener=%s: metrics and profiles are open to everybody who reaches it, it has no authentication", at))
		}
	}
	if at := c.values["quorum.client.listener"]; at != "" && c.values["zookeeper.connect"] == "" {
		if host, _, err := net.SplitHostPort(at); err == nil && !isLoopback(host) {
			out = append(out, warn("quorum.client.listener=127.0.0.1:2181", "quorum.client.listener=%s: everybody who reaches it may change topics, settings and quotas past the broker", at))
		}
	}
	if len(c.values) > 0 {
		out = append(out, note("", "%d settings differ from their defaults (%s)", c.set, c.from))
	}
	return out
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// From how little free space on a finding is made of it.
const (
	freeCritical, freeWarning = 0.05, 0.15
	syncSlow, syncVerySlow    = 20 * time.Millisecond, 200 * time.Millisecond
)

func judgeDisk(f *facts) []Finding {
	var out []Finding
	measured := ""
	for _, d := range f.dirs {
		if d.err != "" {
			out = append(out, critical("replace or mend the disk, then restart the broker; other directories go on", "%s cannot be used: %s", d.path, d.err))
			continue
		}
		if d.total > 0 {
			share := float64(d.free) / float64(d.total)
			text := fmt.Sprintf("%s has %s free of %s (%.0f %%)", d.path, bytes(d.free), bytes(d.total), share*100)
			remedy := "shorten retention (retention.ms, retention.bytes), delete topics, or enlarge the disk; a full one stops all writes"
			if share < freeCritical {
				out = append(out, critical(remedy, "%s", text))
			} else if share < freeWarning {
				out = append(out, warn(remedy, "%s", text))
			}
		}
		if d.files > 0 && float64(d.freeFiles)/float64(d.files) < freeCritical {
			out = append(out, critical("larger segments (log.segment.bytes), fewer partitions, or a file system with more inodes", "%s has %d inodes free of %d", d.path, d.freeFiles, d.files))
		}
		if d.memory {
			out = append(out, critical("log.dirs on a disk", "%s lies in memory (tmpfs): everything is gone after a restart of the machine", d.path))
		}
		switch {
		case d.syncs == 0:
		case d.syncP50 > syncVerySlow:
			out = append(out, critical("a disk with a write cache that survives a power cut (SSD, controller with battery); is another program writing?", "%s takes %s for a sync (median of %d, worst %s)", d.path, short(d.syncP50), d.syncs, short(d.syncWorst)))
		case d.syncP50 > syncSlow:
			out = append(out, warn("a faster disk, or no flush.messages=1 on topics that do not need it; is another program writing?", "%s takes %s for a sync (median of %d, worst %s)", d.path, short(d.syncP50), d.syncs, short(d.syncWorst)))
		default:
			measured = fmt.Sprintf("%s takes %s for a sync (median of %d, worst %s)", d.path, short(d.syncP50), d.syncs, short(d.syncWorst))
		}
	}
	if measured != "" && len(out) == 0 {
		out = append(out, note("", "%s", measured))
	}
	return out
}

// short writes a duration with two or three digits.
func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

// Least limits that a broker needs: an active partition holds a descriptor, three mappings.
const (
	leastFiles       = 10_000
	leastMaps        = 65_530
	mapsPerPartition = 4
)

func judgeLimits(f *facts) []Finding {
	p := f.process
	var out []Finding
	remedy := "LimitNOFILE=100000 in the systemd unit, or ulimit -n 100000 before the start"
	switch {
	case p.maxFDs > 0 && p.openFiles > 0.9*p.maxFDs:
		out = append(out, critical(remedy, "%s holds %.0f files of the %.0f that it may", p.whose, p.openFiles, p.maxFDs))
	case p.maxFDs > 0 && p.maxFDs < leastFiles:
		out = append(out, warn(remedy, "%s may hold %.0f files: connections and active partitions share them", p.whose, p.maxFDs))
	}
	if need := int64(p.partitions) * mapsPerPartition; p.maxMaps > 0 && need > p.maxMaps {
		out = append(out, warn(fmt.Sprintf("sysctl vm.max_map_count=%d", 2*need), "vm.max_map_count is %d, %d partitions can use %d mappings: logs are closed and opened again", p.maxMaps, p.partitions, need))
	}
	return out
}

// From how large a difference of clocks on a finding is made of it.
const skewWarning, skewCritical = 2 * time.Second, time.Minute

func judgeClock(f *facts) []Finding {
	c := f.clock
	var out []Finding
	remedy := "run chrony or systemd-timesyncd on every machine (timedatectl set-ntp true)"
	if skew := c.skew.Abs(); c.skewKnown && skew > skewWarning {
		severity := warn
		if skew > skewCritical {
			severity = critical
		}
		out = append(out, severity(remedy, "the broker's clock is %s %s this machine's: timestamps and retention go by it", skew.Round(time.Second), map[bool]string{true: "ahead of", false: "behind"}[c.skew > 0]))
	}
	if c.unsyncedSeen && c.unsynced {
		out = append(out, note(remedy, "this machine's clock is not synchronised with others"))
	}
	return out
}

func judgeNetwork(f *facts) []Finding {
	var out []Finding
	for _, b := range f.cluster.brokers {
		switch {
		case b.wrongNode != "":
			out = append(out, critical("advertised.listeners must name the address under which clients reach just this broker", "broker %d advertises %s, where another answers: %s", b.id, b.address, b.wrongNode))
		case b.err != "":
			out = append(out, critical("advertised.listeners with a name and port that clients can reach, or none: then each client is told the address it came to",
				"broker %d advertises %s, which cannot be reached from here: %s", b.id, b.address, b.err))
		case b.loopback && len(f.cluster.brokers) > 1:
			out = append(out, warn("advertised.listeners with the machine's name", "broker %d advertises %s: only clients on its own machine reach that", b.id, b.address))
		}
	}
	return out
}
