package main

import (
	"fmt"
	"regexp"

	"github.com/millrace/millrace/protocol/schema"
)

var versionUse = regexp.MustCompile(`\bversion\b`)

// usesVersion reports whether code mentions the variable version itself.
func usesVersion(code string) bool {
	for _, at := range versionUse.FindAllStringIndex(code, -1) {
		if at[0] == 0 || code[at[0]-1] != '.' {
			return true
		}
	}
	return false
}

// appender writes the append method of one struct.
func (g *gen) appender(name string, fields []schema.Field, versions schema.Range) {
	body := gen{message: g.message}
	for i := range fields {
		f := &fields[i]
		if f.Tagged() {
			continue
		}
		cond := within(f.Versions, versions)
		if cond != "" {
			body.p("if %s {", cond)
		}
		body.write(f)
		if cond != "" {
			body.p("}")
		}
	}
	if g.api.FlexibleFrom <= versions.Max {
		body.writeTags(fields, versions)
	}
	version := "version"
	if !usesVersion(body.String()) {
		version = "_"
	}
	flex := "flex"
	if !regexp.MustCompile(`\bflex\b`).MatchString(body.String()) {
		flex = "_"
	}
	g.p("func (v *%s) append(dst []byte, %s int16, %s bool) []byte {", name, version, flex)
	g.WriteString(body.String())
	g.p("return dst\n}\n")
}

// write writes the statements that append one field.
func (g *gen) write(f *schema.Field) {
	null := condition(f.Null, f.Versions)
	if f.Array {
		g.writeArray(f, null)
		return
	}
	switch f.Kind {
	case schema.Struct:
		if f.Nullable() && !f.Tagged() {
			g.p("dst = appendPresent(dst, v.%s != nil)\nif v.%s != nil {", f.Name, f.Name)
			g.p("dst = v.%s.append(dst, version, flex)\n}", f.Name)
			return
		}
		g.p("dst = v.%s.append(dst, version, flex)", f.Name)
	case schema.String, schema.Name:
		if f.Nullable() {
			g.p("dst = appendNullString(dst, v.%s, %s, flex)", f.Name, null)
		} else {
			g.p("dst = appendString(dst, v.%s, flex)", f.Name)
		}
	case schema.Bytes, schema.Records:
		g.p("dst = appendBytes(dst, v.%s, %s, flex)", f.Name, null)
	default:
		g.p("dst = %s(dst, v.%s)", appenders[f.Kind], f.Name)
	}
}

func (g *gen) writeArray(f *schema.Field, null string) {
	isNull := "false"
	if f.Nullable() {
		isNull = fmt.Sprintf("v.%s == nil", f.Name)
		if null != "true" {
			isNull += " && " + null
		}
	}
	g.p("dst = appendCount(dst, len(v.%s), %s, flex)", f.Name, isNull)
	switch f.Kind {
	case schema.Struct:
		g.p("for i := range v.%s {\ndst = v.%s[i].append(dst, version, flex)\n}", f.Name, f.Name)
	case schema.String, schema.Name:
		g.p("for _, e := range v.%s {\ndst = appendString(dst, e, flex)\n}", f.Name)
	case schema.Bytes, schema.Records:
		g.p("for _, e := range v.%s {\ndst = appendBytes(dst, e, false, flex)\n}", f.Name)
	default:
		g.p("for _, e := range v.%s {\ndst = %s(dst, e)\n}", f.Name, appenders[f.Kind])
	}
}

// writeTags writes the tag section: the number of fields that differ from their default,
// and those, in the order of their numbers.
func (g *gen) writeTags(fields []schema.Field, versions schema.Range) {
	flexible := flexibleVersions(g.api, versions)
	always := flexible == versions
	if !always {
		g.p("if !flex {\nreturn dst\n}")
	}
	var tagged []*schema.Field
	for i := range fields {
		if fields[i].Tagged() {
			tagged = append(tagged, &fields[i])
		}
	}
	if len(tagged) == 0 {
		g.p("dst = append(dst, 0)")
		return
	}
	g.p("tags := uint32(0)")
	for _, f := range tagged {
		g.p("if %s {\ntags++\n}", g.differs(f, flexible))
	}
	g.p("dst = appendUvarint(dst, tags)")
	for n := 0; len(tagged) > 0; n++ {
		for i, f := range tagged {
			if f.Tag == n {
				g.p("if %s {\ndst = append(dst, %d)\nstart := len(dst)", g.differs(f, flexible), f.Tag)
				g.write(f)
				g.p("dst = endTag(dst, start)\n}")
				tagged = append(tagged[:i], tagged[i+1:]...)
				break
			}
		}
	}
}

// differs returns the condition that a tagged field has to be written.
func (g *gen) differs(f *schema.Field, flexible schema.Range) string {
	cond := fmt.Sprintf("v.%s != %s", f.Name, g.defaultOf(f))
	switch {
	case f.Array && !f.Nullable(), f.Kind == schema.Bytes && !f.Array && !f.Nullable():
		cond = fmt.Sprintf("len(v.%s) > 0", f.Name)
	case f.Kind == schema.Bool && f.Default == "":
		cond = "v." + f.Name
	case f.Kind == schema.UUID, f.Kind == schema.String && f.Nullable(), f.Kind == schema.Name && f.Nullable():
		cond = fmt.Sprintf("v.%s != (%s)", f.Name, g.defaultOf(f))
	}
	if in := within(f.Versions, flexible); in != "" {
		cond += " && " + in
	}
	return cond
}

var appenders = map[schema.Kind]string{
	schema.Bool: "appendBool", schema.Int8: "appendInt8", schema.Int16: "appendInt16", schema.Int32: "appendInt32",
	schema.Int64: "appendInt64", schema.Uint16: "appendUint16", schema.Uint32: "appendUint32",
	schema.Float64: "appendFloat64", schema.UUID: "appendUUID", schema.Error: "appendErrorCode",
}
