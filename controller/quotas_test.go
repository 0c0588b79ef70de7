package controller

import (
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/metadata"
)

func user(name string) metadata.QuotaEntity {
	return metadata.QuotaEntity{User: metadata.NamedQuota(name)}
}

func set(key string, v float64) QuotaOp { return QuotaOp{Key: key, Value: v} }

func TestAlterQuotas(t *testing.T) {
	f := openTree(t, newQuorum(t)).elect(1)
	ctx := t.Context()
	both := metadata.QuotaEntity{User: metadata.NamedQuota("u"), ClientID: metadata.DefaultQuota()}
	alter := func(changes ...QuotaChange) []error {
		t.Helper()
		errs, _ := f.AlterQuotas(ctx, changes, false)
		return errs
	}
	node := func(e metadata.QuotaEntity) string {
		t.Helper()
		data, _, err := f.store.Get(ctx, e.Path())
		if err != nil {
			return ""
		}
		return string(data)
	}
	// A user after its client: the client's write makes the user's node.
	for _, err := range alter(
		QuotaChange{both, []QuotaOp{set("producer_byte_rate", 2000), set("request_percentage", 200)}},
		QuotaChange{user("u"), []QuotaOp{set("controller_mutation_rate", 12.5)}},
	) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, want := node(both), `{"version":1,"config":{"producer_byte_rate":"2000","request_percentage":"200.0"}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := node(user("u")), `{"version":1,"config":{"controller_mutation_rate":"12.5"}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := f.loader.Image().Quotas()[both]["producer_byte_rate"]; got != "2000" {
		t.Errorf("the image has %q when the call returns", got)
	}
	// What else the node holds stays, and one refused entity keeps no other from its change.
	scram := user("s")
	if _, err := f.store.Multi(ctx, metadata.Create(scram.Path(), metadata.EncodeConfig(map[string]string{"SCRAM-SHA-256": "x"}))); err != nil {
		t.Fatal(err)
	}
	errs := alter(
		QuotaChange{scram, []QuotaOp{set("consumer_byte_rate", 1)}},
		QuotaChange{both, []QuotaOp{set("producer_byte_rate", 1), set("consumer_byte_rate", 1.5)}},
		QuotaChange{user("u"), []QuotaOp{{Key: "controller_mutation_rate", Remove: true}, {Key: "producer_byte_rate", Remove: true}}},
	)
	if errs[0] != nil || errs[1] == nil || errs[2] != nil {
		t.Errorf("errors %v, want one for the second", errs)
	}
	if got, want := node(scram), `{"version":1,"config":{"SCRAM-SHA-256":"x","consumer_byte_rate":"1"}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := node(both); !strings.Contains(got, `"producer_byte_rate":"2000"`) {
		t.Errorf("a refused change was applied in part: %s", got)
	}
	if got, want := node(user("u")), `{"version":1,"config":{}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if errs, zxid := f.AlterQuotas(ctx, []QuotaChange{{user("new"), []QuotaOp{set("producer_byte_rate", 1)}}}, true); errs[0] != nil || zxid != 0 || node(user("new")) != "" {
		t.Errorf("validate only: %v, zxid %d", errs, zxid)
	}
}

func TestRefusedQuotas(t *testing.T) {
	f := openTree(t, newQuorum(t)).elect(1)
	ip := metadata.QuotaEntity{IP: metadata.NamedQuota("10.0.0.1")}
	for name, c := range map[string]struct {
		change QuotaChange
		says   string
	}{
		"zero":            {QuotaChange{user("u"), []QuotaOp{set("producer_byte_rate", 0)}}, "greater than 0"},
		"not a number":    {QuotaChange{user("u"), []QuotaOp{set("request_percentage", math.NaN())}}, "greater than 0"},
		"fraction":        {QuotaChange{user("u"), []QuotaOp{set("producer_byte_rate", 1.5)}}, "whole numbers"},
		"too large":       {QuotaChange{ip, []QuotaOp{set("connection_creation_rate", 1<<31)}}, "the most is"},
		"key of users":    {QuotaChange{ip, []QuotaOp{set("producer_byte_rate", 1)}}, "connection_creation_rate"},
		"key of ips":      {QuotaChange{user("u"), []QuotaOp{set("connection_creation_rate", 1)}}, "producer_byte_rate"},
		"unknown removed": {QuotaChange{user("u"), []QuotaOp{{Key: "nope", Remove: true}}}, "nope"},
		"key twice":       {QuotaChange{user("u"), []QuotaOp{set("producer_byte_rate", 1), set("producer_byte_rate", 2)}}, "Duplicate quota key"},
		"no address":      {QuotaChange{metadata.QuotaEntity{IP: metadata.NamedQuota("example.org")}, nil}, "no IP address"},
		"ip and user":     {QuotaChange{metadata.QuotaEntity{IP: ip.IP, User: metadata.DefaultQuota()}, nil}, "combination"},
	} {
		errs, _ := f.AlterQuotas(t.Context(), []QuotaChange{c.change}, false)
		if kind, ok := KindOf(errs[0]); !ok || kind != InvalidRequest || !strings.Contains(errs[0].Error(), c.says) {
			t.Errorf("%s: %v, want INVALID_REQUEST with %q", name, errs[0], c.says)
		}
	}
	twice := QuotaChange{user("u"), []QuotaOp{set("producer_byte_rate", 1)}}
	for _, err := range first(f.AlterQuotas(t.Context(), []QuotaChange{twice, twice}, false)) {
		if err == nil {
			t.Error("an entity that stands twice was changed")
		}
	}
}

func first(errs []error, _ int64) []error { return errs }
