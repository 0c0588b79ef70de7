package main

import (
	"fmt"

	"github.com/millrace/millrace/protocol/schema"
)

// decoder writes the decode method of one struct.
func (g *gen) decoder(name, path string, fields []schema.Field, versions schema.Range) {
	body := gen{message: g.message}
	tagged := false
	for i := range fields {
		f := &fields[i]
		if f.Tagged() {
			tagged = true
			body.p("v.%s = %s", f.Name, g.defaultOf(f))
			continue
		}
		cond := within(f.Versions, versions)
		if cond == "" {
			body.read(f, path, f.Versions)
			continue
		}
		body.p("if %s {", cond)
		body.read(f, path, f.Versions)
		body.p("} else {\nv.%s = %s\n}", f.Name, g.defaultOf(f))
	}
	if g.api.FlexibleFrom <= versions.Max {
		body.readTags(fields, path, versions, tagged)
	}
	g.p("func (v *%s) decode(r *reader) {", name)
	if usesVersion(body.String()) {
		g.p("version := r.version")
	}
	g.WriteString(body.String())
	g.p("}\n")
}

// read writes the statements that read one field.
func (g *gen) read(f *schema.Field, path string, versions schema.Range) {
	where := fmt.Sprintf("%q", path+f.Name)
	null := condition(f.Null, versions)
	if f.Array {
		g.readArray(f, where, null)
		return
	}
	switch f.Kind {
	case schema.Struct:
		g.readStruct(f, where)
	case schema.String, schema.Name:
		if f.Nullable() {
			g.p("v.%s = r.%s(%s, %s)", f.Name, nullReaders[f.Kind], null, where)
		} else {
			g.p("v.%s = r.%s(%s)", f.Name, readers[f.Kind], where)
		}
	case schema.Bytes, schema.Records:
		g.p("v.%s = r.bytes(%s, %s)", f.Name, null, where)
	default:
		g.p("v.%s = r.%s(%s)", f.Name, readers[f.Kind], where)
	}
}

func (g *gen) readStruct(f *schema.Field, where string) {
	switch {
	case f.Tagged():
		g.p("v.%s = new(%s)", f.Name, g.name+f.Type)
		g.p("v.%s.decode(r)", f.Name)
	case f.Nullable():
		g.p("if v.%s = nil; r.present(%s) {\nv.%s = new(%s)\nv.%s.decode(r)\n}", f.Name, where, f.Name, g.name+f.Type, f.Name)
	default:
		g.p("v.%s.decode(r)", f.Name)
	}
}

func (g *gen) readArray(f *schema.Field, where, null string) {
	size := fmt.Sprint(f.Kind.FixedSize())
	elem := ""
	switch f.Kind {
	case schema.Struct:
		elem = "s[len(s)-1].decode(r)"
		size = fmt.Sprintf("min%s(r.version)", g.name+f.Type)
	case schema.String, schema.Name:
		size = "r.lengthMin(2)"
	case schema.Bytes, schema.Records:
		size = "r.lengthMin(4)"
		elem = fmt.Sprintf("s[len(s)-1] = r.bytes(false, %s)", where)
	}
	if elem == "" {
		elem = fmt.Sprintf("s[len(s)-1] = r.%s(%s)", readers[f.Kind], where)
	}
	g.p("if n := r.array(%s, %s, %s); n < 0 {\nv.%s = nil\n} else {", size, null, where, f.Name)
	g.p("s := reuse(v.%s)\nfor len(s) < n && r.err == nil {\ns = extend(s, n)\n%s\n}\nv.%s = s\n}", f.Name, elem, f.Name)
}

// readTags writes the loop over a struct's tagged fields.
func (g *gen) readTags(fields []schema.Field, path string, versions schema.Range, tagged bool) {
	where := fmt.Sprintf("%q", path+"tags")
	if !tagged {
		g.p("r.skipTags(%s)", where)
		return
	}
	g.p("for n := r.tags(%s); n > 0 && r.err == nil; n-- {", where)
	g.p("number, rest := r.tag(%s)\nswitch {", where)
	for i := range fields {
		f := &fields[i]
		if !f.Tagged() {
			continue
		}
		cond := within(f.Versions, flexibleVersions(g.api, versions))
		if cond != "" {
			cond = " && " + cond
		}
		g.p("case number == %d%s:", f.Tag, cond)
		g.read(f, path, f.Versions)
	}
	g.p("default:\nr.skipTag()\n}\nr.endTag(rest, %s)\n}", where)
}

// flexibleVersions narrows versions to the flexible ones.
func flexibleVersions(a *schema.API, versions schema.Range) schema.Range {
	return versions.Intersect(schema.Range{Min: a.FlexibleFrom, Max: versions.Max})
}

func (g *gen) defaultOf(f *schema.Field) string {
	switch {
	case f.Default != "":
		return f.Default
	case f.Array:
		return "nil"
	}
	switch f.Kind {
	case schema.Struct:
		if f.Tagged() || f.Nullable() {
			return "nil"
		}
		return g.name + f.Type + "{}"
	case schema.String, schema.Name:
		if f.Nullable() {
			return "NullString{}"
		}
		return `""`
	case schema.Bytes, schema.Records:
		return "nil"
	case schema.UUID:
		return "UUID{}"
	case schema.Bool:
		return "false"
	}
	return "0"
}

var readers = map[schema.Kind]string{
	schema.Bool: "bool", schema.Int8: "int8", schema.Int16: "int16", schema.Int32: "int32", schema.Int64: "int64",
	schema.Uint16: "uint16", schema.Uint32: "uint32", schema.Float64: "float64", schema.UUID: "uuid",
	schema.Error: "errorCode", schema.String: "string", schema.Name: "name",
}

var nullReaders = map[schema.Kind]string{schema.String: "nullString", schema.Name: "nullName"}
