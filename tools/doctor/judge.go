package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// check is one subject: its name, whether the facts for it are there, and its judgement.
type check struct {
	name  string
	known func(*facts) bool
	judge func(*facts) []Finding
}

// checks are all of them, in the order in which their findings stand.
func checks() []check {
	return []check{
		{"reach", func(*facts) bool { return true }, judgeReach},
		{"config", func(f *facts) bool { return f.config != nil }, judgeConfig},
		{"disk", func(f *facts) bool { return len(f.dirs) > 0 }, judgeDisk},
		{"limits", func(f *facts) bool { return f.process != nil }, judgeLimits},
		{"clock", func(f *facts) bool { return f.clock != nil }, judgeClock},
		{"network", func(f *facts) bool { return f.cluster != nil }, judgeNetwork},
		{"topics", func(f *facts) bool { return f.cluster != nil }, judgeTopics},
		{"internal", func(f *facts) bool { return f.cluster != nil }, judgeInternal},
		{"cleaner", func(f *facts) bool { return f.cleaner != nil || f.config != nil }, judgeCleaner},
		{"lag", func(f *facts) bool { return f.askedGroups }, judgeLag},
	}
}

// judge turns facts into a report.
func judge(f *facts) *Report {
	r := &Report{Target: f.target, Findings: []Finding{}, Passed: []string{}, Skipped: []Skipped{}}
	for _, c := range checks() {
		why, skipped := f.skipped[c.name]
		if !c.known(f) {
			if !skipped {
				why = "nothing to look at"
			}
			r.Skipped = append(r.Skipped, Skipped{c.name, why})
			continue
		}
		found := c.judge(f)
		if len(found) == 0 {
			r.Passed = append(r.Passed, c.name)
		}
		for i := range found {
			found[i].Check = c.name
		}
		r.Findings = append(r.Findings, found...)
		if skipped && c.name != "reach" {
			r.Skipped = append(r.Skipped, Skipped{c.name, why})
		}
	}
	r.rank()
	return r
}

func critical(remedy, format string, args ...any) Finding {
	return Finding{Severity: Critical, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func warn(remedy, format string, args ...any) Finding {
	return Finding{Severity: Warning, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func note(remedy, format string, args ...any) Finding {
	return Finding{Severity: Note, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func judgeReach(f *facts) []Finding {
	if why := f.skipped["reach"]; why != "" {
		return []Finding{critical("start the broker, or name the right address with --bootstrap-server", "%s", why)}
	}
	return nil
}

// bytes writes a size in the unit that suits it.
func bytes(n int64) string {
	units := []string{"bytes", "KB", "MB", "GB", "TB", "PB"}
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1000
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// some lists at most five of words.
func some(words []string) string {
	const most = 5
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func judgeTopics(f *facts) []Finding {
	var leaderless, under []string
	for _, t := range f.cluster.topics {
		for _, p := range t.leaderless {
			leaderless = append(leaderless, fmt.Sprintf("%s-%d", t.name, p))
		}
		for _, p := range t.under {
			under = append(under, fmt.Sprintf("%s-%d", t.name, p))
		}
	}
	var out []Finding
	if len(leaderless) > 0 {
		out = append(out, critical("start the brokers that hold them; when they are lost for good, kafka-leader-election.sh --election-type unclean (records may be lost)",
			"nobody can write or read %d partition%s, which have no leader: %s", len(leaderless), plural(len(leaderless)), some(leaderless)))
	}
	if len(under) > 0 {
		out = append(out, warn("see that all brokers run and reach each other; kafka-topics.sh --describe --under-replicated-partitions",
			"a replica in sync is missing in %d partition%s: %s", len(under), plural(len(under)), some(under)))
	}
	return out
}

// judgeInternal looks at the topic that groups and offsets are kept in.
func judgeInternal(f *facts) []Finding {
	o := f.cluster.offsets
	if o == nil {
		if len(f.groups) > 0 {
			return []Finding{critical("look into the broker's log for why the topic could not be made", "there are groups, but no topic __consumer_offsets")}
		}
		return []Finding{note("", "no topic __consumer_offsets yet: the first consumer group makes it")}
	}
	var out []Finding
	if !strings.Contains(o.cleanup, "compact") {
		out = append(out, critical("kafka-configs.sh --alter --topic __consumer_offsets --add-config cleanup.policy=compact",
			"__consumer_offsets has cleanup.policy=%s: committed offsets are deleted by age, and groups start from their reset policy", o.cleanup))
	}
	brokers := len(f.cluster.brokers)
	if want := min(3, brokers); o.factor < want {
		out = append(out, warn("kafka-reassign-partitions.sh with a plan that gives its partitions "+fmt.Sprint(want)+" replicas",
			"__consumer_offsets has replication factor %d on %d brokers: one lost disk loses the positions of all groups", o.factor, brokers))
	}
	return out
}

func judgeCleaner(f *facts) []Finding {
	var out []Finding
	if f.cleaner != nil && len(f.cleaner.uncleanable) > 0 {
		severity := warn
		if slices.ContainsFunc(f.cleaner.uncleanable, func(p string) bool { return strings.Contains(p, "__consumer_offsets") }) {
			severity = critical
		}
		out = append(out, severity("the broker's log says why (\"uncleanable\"); kafka-dump-log.sh shows the batch; the others are still cleaned",
			"the cleaner has set partitions aside, they grow without end: %s", some(f.cleaner.uncleanable)))
	}
	if f.config != nil && f.config.values["log.cleaner.enable"] == "false" {
		out = append(out, critical("log.cleaner.enable=true", "log.cleaner.enable=false: compacted topics, __consumer_offsets among them, grow without end"))
	}
	return out
}

func judgeLag(f *facts) []Finding {
	var out []Finding
	for _, g := range f.groups {
		if len(g.lost) > 0 {
			out = append(out, warn("read faster, or keep records longer (retention.ms, retention.bytes); kafka-consumer-groups.sh --describe --group "+g.name,
				"group %s has not read records that are deleted already, its offset is before the start of %s", g.name, some(g.lost)))
		}
		remedy := "kafka-consumer-groups.sh --describe --group " + g.name + "; add consumers up to the number of partitions"
		if g.state == "Empty" {
			remedy = "start its consumers, or delete the group when nobody needs it: kafka-consumer-groups.sh --delete --group " + g.name
		}
		switch {
		case g.err != "":
			out = append(out, note("", "the lag of group %s is not known: %s", g.name, g.err))
		case g.seconds >= 0 && g.seconds > f.limits.lagSeconds && g.lag > 0:
			out = append(out, warn(remedy, "group %s (%s) is %.0f seconds behind, %d records, most in %s (%d)", g.name, g.state, g.seconds, g.lag, g.worst, g.worstLag))
		case g.lag > f.limits.lagRecords:
			out = append(out, warn(remedy, "group %s (%s) is %d records behind, most in %s (%d)", g.name, g.state, g.lag, g.worst, g.worstLag))
		}
	}
	return out
}
