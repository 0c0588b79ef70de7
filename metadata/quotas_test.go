package metadata

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// quotaOps draws a write of a quota as the controller and Kafka's tools make it.
func quotaOps(rng *rand.Rand, tr *testTree) []Op {
	names := []QuotaName{DefaultQuota(), NamedQuota("a b"), NamedQuota("<default>")}
	e := QuotaEntity{User: names[rng.IntN(3)], ClientID: names[rng.IntN(3)]}
	switch rng.IntN(4) {
	case 0:
		e.User = QuotaName{}
	case 1:
		e.ClientID = QuotaName{}
	case 2:
		e = QuotaEntity{IP: NamedQuota("::1")}
	}
	var ops []Op
	exists := func(path string) bool { _, ok := tr.get(path); return ok }
	for _, path := range append(e.Parents(), e.Path()) {
		if !exists(path) {
			ops = append(ops, Create(path, nil))
		}
	}
	settings := map[string]string{"producer_byte_rate": "1"}
	if rng.IntN(3) == 0 {
		settings = nil
	}
	return append(ops, Set(e.Path(), EncodeConfig(settings), AnyVersion))
}

func TestQuotaPathsAreKafkas(t *testing.T) {
	for path, e := range map[string]QuotaEntity{
		"/config/users/<default>":                      {User: DefaultQuota()},
		"/config/users/%3Cdefault%3E":                  {User: NamedQuota("<default>")},
		"/config/users/CN%3Da%2C%20b":                  {User: NamedQuota("CN=a, b")},
		"/config/clients/a.b-c_d%7E%2A":                {ClientID: NamedQuota("a.b-c_d~*")},
		"/config/clients/%2E":                          {ClientID: NamedQuota(".")},
		"/config/clients/clients":                      {ClientID: NamedQuota("clients")},
		"/config/ips/%3A%3A1":                          {IP: NamedQuota("::1")},
		"/config/ips/<default>":                        {IP: DefaultQuota()},
		"/config/users/clients/clients/clients":        {User: NamedQuota("clients"), ClientID: NamedQuota("clients")},
		"/config/users/u%2Fv/clients/<default>":        {User: NamedQuota("u/v"), ClientID: DefaultQuota()},
		"/config/users/<default>/clients/%C3%A9%20%2B": {User: DefaultQuota(), ClientID: NamedQuota("é +")},
	} {
		if got := e.Path(); got != path {
			t.Errorf("%+v is at %s, want %s", e, got, path)
		}
		if err := checkPath(path); err != nil {
			t.Error(err)
		}
		if back, ok, err := quotaEntity(path); !ok || err != nil || back != e {
			t.Errorf("%s names %+v, %t, %v; want %+v", path, back, ok, err, e)
		}
	}
	for _, path := range []string{"/config/users", "/config/users/u/clients", "/config/users/u/other/c", "/config/users/u/clients/c/d", "/config/topics/t", "/"} {
		if e, ok, _ := quotaEntity(path); ok {
			t.Errorf("%s names %+v", path, e)
		}
	}
	if _, _, err := quotaEntity("/config/users/%zz"); err == nil {
		t.Error("a name that is not escaped was read")
	}
}

func TestQuotasOfTheImage(t *testing.T) {
	user, both := QuotaEntity{User: NamedQuota("u")}, QuotaEntity{User: NamedQuota("u"), ClientID: DefaultQuota()}
	set := func(e QuotaEntity, v string) Event {
		return Event{Kind: Changed, Path: e.Path(), Data: EncodeConfig(map[string]string{"k": v})}
	}
	first := applyTxn(emptyImage(), Txn{Zxid: 1, Events: []Event{set(user, "1"), set(both, "2")}}, problem(t))
	second := applyTxn(first, Txn{Zxid: 2, Events: []Event{set(user, "3"), {Kind: Deleted, Path: both.Path()}}}, problem(t))
	third := applyTxn(second, Txn{Zxid: 3, Events: []Event{{Kind: Changed, Path: user.Path(), Data: EncodeConfig(nil)}}}, problem(t))
	for i, want := range []map[string]string{{"u": "1", "both": "2"}, {"u": "3"}, {}} {
		got := map[string]string{}
		for e, settings := range []*Image{first, second, third}[i].Quotas() {
			name := "both"
			if e == user {
				name = "u"
			}
			got[name] = settings["k"]
		}
		if !maps.Equal(got, want) {
			t.Errorf("image %d has %v, want %v", i+1, got, want)
		}
	}
}
