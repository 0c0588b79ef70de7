package consumer

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/protocol"
)

func TestRegex(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 1)
	w.c.create("food", 1)
	w.c.create("xfoo", 1)
	w.expect(w.must(joinRegex("a", "foo.?")), 1, "foo:0 food:0") // whole names only
	if !w.g.Subscribed("food") || w.g.Subscribed("xfoo") {
		t.Error("subscription")
	}
	// A new topic counts ten seconds after the last look at the earliest.
	w.c.create("foot", 1)
	w.expect(w.must(beat("a", 1)), 1, "-")
	w.pass(10 * time.Second)
	w.expect(w.must(beat("a", 1)), 2, "foo:0 food:0 foot:0")
	w.c.remove("food")
	w.expect(w.must(beat("a", 2)), 2, "foo:0 foot:0")
	w.expect(w.must(holding("a", 2, Assignment{w.c.topics["foo"].id: {0}, w.c.topics["foot"].id: {0}})), 3, "-")
	w.checkReplay()

	// The same expression needs no second look; the last one that goes takes it along.
	w.must(joinRegex("b", "foo.?"))
	w.must(beat("a", -1))
	if w.g.regexes["foo.?"] == nil {
		t.Error("forgotten too early")
	}
	w.must(beat("b", -1))
	if len(w.g.regexes) != 0 {
		t.Error("not forgotten")
	}
	w.checkReplay()
}

func TestRegexChanges(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 1)
	w.c.create("bar", 1)
	w.must(joinRegex("a", "f.*"))
	q := beat("a", 1)
	q.SubscribedTopicRegex = protocol.Str("b.*")
	w.expect(w.must(q), 1, "")
	w.expect(w.must(holding("a", 1, nil)), 2, "bar:0")
	if len(w.g.regexes) != 1 || w.g.regexes["b.*"] == nil {
		t.Errorf("kept: %v", w.g.regexes)
	}
	q = beat("a", 2) // both at once; a topic counts once
	q.SubscribedTopicNames = []string{"foo", "bar"}
	w.expect(w.must(q), 3, "bar:0 foo:0")
	q = beat("a", 3)
	q.SubscribedTopicRegex = protocol.Str("")
	w.must(q)
	if len(w.g.regexes) != 0 {
		t.Errorf("kept: %v", w.g.regexes)
	}
	w.state(StableGroup, 4, 4)
	w.checkReplay()
}

func TestRegexRefusals(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"[", "a)(b", "a{1001}", "(?<", `(a)\1`, "((a{100}){100}){100}"} {
		w.refused(joinRegex("a", bad), protocol.CodeInvalidRegularExpression, "is not a valid regular expression")
	}
	w.refused(joinRegex("a", strings.Repeat("a", MaxRegexBytes+1)), protocol.CodeInvalidRegularExpression, "At most 8192 are allowed")
	w.must(joinRegex("a", strings.Repeat("a", MaxRegexBytes)))
}

func TestRegexOfWhatMayBeSeen(t *testing.T) {
	w := newWorld(t)
	w.c.create("foo", 1)
	w.c.create("fob", 1)
	secret := "fob"
	w.env.Client.MayDescribe = func(name string) bool { return name != secret }
	w.expect(w.must(joinRegex("a", "f.*")), 1, "foo:0")
	secret = ""
	w.expect(w.must(beat("a", 1)), 1, "-")
	w.pass(DefaultRegexRefreshInterval)
	w.expect(w.must(beat("a", 1)), 2, "fob:0 foo:0")
}
