package main

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/protocol/schema"
)

// apiTable writes protocol/zz_apis.go: keys, the table of APIs, and constructors by key.
func apiTable(apis []schema.API) string {
	var g gen
	g.p("// Keys of the APIs that have codecs.\nconst (")
	for _, a := range apis {
		g.p("Key%s int16 = %d", a.Name, a.Key)
	}
	g.p(")\n")
	g.p("// apis is sorted by key.\nvar apis = [...]API{")
	for _, a := range apis {
		g.p("{Key: %d, Name: %q, Min: %d, Max: %d, AdvertisedMin: %d, FlexibleFrom: %d, MaxRequestBytes: %d},",
			a.Key, a.Name, a.Versions.Min, a.Versions.Max, a.AdvertisedMin, a.FlexibleFrom, a.LimitBytes)
	}
	g.p("}\n")
	g.p("// apiIndex returns the place of a key in apis, or -1.\nfunc apiIndex(key int16) int {\nswitch key {")
	for i, a := range apis {
		g.p("case %d:\nreturn %d", a.Key, i)
	}
	g.p("}\nreturn -1\n}\n")
	for _, suffix := range []string{"Request", "Response"} {
		g.p("// New%s returns an empty %s body of an API, or nil for a key without codecs.", suffix, strings.ToLower(suffix))
		g.p("func New%s(key int16) Message {\nswitch key {", suffix)
		for _, a := range apis {
			g.p("case %d:\nreturn new(%s%s)", a.Key, a.Name, suffix)
		}
		g.p("}\nreturn nil\n}\n")
	}
	return g.String()
}

// apiPage writes docs/protocol/apis.md.
func apiPage(apis []schema.API) []byte {
	var b strings.Builder
	b.WriteString(`# Kafka APIs

Generated from protocol/schema by tools/protogen; do not edit. These are the APIs that package protocol can read and
write. The broker serves those of them that have a handler (broker/table.go) and lists them in ApiVersions. Any other key,
and a version outside the served range, closes the connection, except for ApiVersions, which answers it with error 35.

| key | API | served | advertised | flexible from | largest request | notes |
|--|--|--|--|--|--|--|
`)
	for _, a := range apis {
		limit := "socket.request.max.bytes"
		if a.LimitBytes >= 1<<20 {
			limit = fmt.Sprintf("%d MiB", a.LimitBytes>>20)
		} else if a.LimitBytes > 0 {
			limit = fmt.Sprintf("%d KiB", a.LimitBytes>>10)
		}
		flexible := fmt.Sprint(a.FlexibleFrom)
		if a.FlexibleFrom == schema.NeverFlexible {
			flexible = "never"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s |\n", a.Key, a.Name, a.Versions,
			schema.Range{Min: a.AdvertisedMin, Max: a.Versions.Max}, flexible, limit, strings.Join(a.Notes, " "))
	}
	return []byte(b.String())
}
