package server

import (
	"crypto/x509"
	"encoding/asn1"
	hexenc "encoding/hex"
	"strings"
	"unicode/utf8"
)

// subjectOf is the subject of a certificate as Java's X500Principal.getName prints it (RFC
// 2253): the last name first, the keywords of the RFC, other types by their number with the
// value in hexadecimal.
func subjectOf(cert *x509.Certificate) string {
	var rdns []asn1.RawValue
	var seq asn1.RawValue
	if rest, err := asn1.Unmarshal(cert.RawSubject, &seq); err != nil || len(rest) > 0 {
		return ""
	}
	for rest := seq.Bytes; len(rest) > 0; {
		var set asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &set); err != nil {
			return ""
		}
		rdns = append(rdns, set)
	}
	parts := make([]string, 0, len(rdns))
	for i := len(rdns) - 1; i >= 0; i-- {
		parts = append(parts, rdnString(rdns[i].Bytes))
	}
	return strings.Join(parts, ",")
}

// rfc2253 are the keywords that RFC 2253 has; Java uses no others there.
var rfc2253 = map[string]string{
	"2.5.4.3": "CN", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.6": "C", "2.5.4.9": "STREET",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID",
}

// rdnString prints one name, whose attributes are joined by plus signs.
func rdnString(set []byte) string {
	var parts []string
	for len(set) > 0 {
		var a struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		rest, err := asn1.Unmarshal(set, &a)
		if err != nil {
			return ""
		}
		set = rest
		text, isText := textOf(a.Value)
		keyword, known := rfc2253[a.Type.String()]
		switch {
		case known && isText:
			parts = append(parts, keyword+"="+escape2253(text))
		case known:
			parts = append(parts, keyword+"=#"+hexenc.EncodeToString(a.Value.FullBytes))
		default:
			parts = append(parts, a.Type.String()+"=#"+hexenc.EncodeToString(a.Value.FullBytes))
		}
	}
	return strings.Join(parts, "+")
}

// textOf is the value of an attribute if it is one of the kinds of strings.
func textOf(v asn1.RawValue) (string, bool) {
	if v.Class != asn1.ClassUniversal {
		return "", false
	}
	switch v.Tag {
	case asn1.TagPrintableString, asn1.TagUTF8String, asn1.TagIA5String, asn1.TagT61String, asn1.TagGeneralString:
		if utf8.Valid(v.Bytes) {
			return string(v.Bytes), true
		}
	case asn1.TagBMPString:
		var s string
		if _, err := asn1.Unmarshal(v.FullBytes, &s); err == nil {
			return s, true
		}
	}
	return "", false
}

// escape2253 puts backslashes before what means something in a name, wherever it stands, and
// before spaces at either end.
func escape2253(s string) string {
	var b strings.Builder
	for i, r := range s {
		end := i == 0 || i+utf8.RuneLen(r) == len(s)
		if strings.ContainsRune(`,=+<>#;"\`, r) || r == ' ' && end {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
