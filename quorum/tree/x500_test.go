package tree

import "testing"

// TestX500 holds what Java's X500Principal says of each name.
func TestX500(t *testing.T) {
	for _, name := range []string{
		``, `CN=a`, `cn=a`, `CN=a,O=b`, `CN=a;O=b`, `CN=a+OU=b,O=c`, `CN=`, `CN=,O=b`, `2.5.4.3=a`, `OID.2.5.4.3=a`, `oid.2.5.4.3=a`,
		`CN=joe,O=Ham\, Egg`, `CN="Ham, Egg"`, `CN=#0c0161`, `CN=a#b`, `CN=a=b`, `CN=\41b`, `CN=\,`, `CN=\ a\ `, ` CN = a , O = b `,
		"CN=a\nb", `C=DE`, `C=D€`, `DC=x,DC=y`, `EMAILADDRESS=a@b`, `UID=1`, `SERIALNUMBER=1`, `dnq=x`, `CN=ü`, `CN=a\+b`, `CN=a+ O=b`,
		`STREET=x`, `ST=x`, `S=x`, `T=x`, `IP=x`, `GIVENNAME=x`, `L=x`, `CN= `, `CN=  ,O=b`, `CN=\20`, `EMAIL=x`, `02.5.4.3=x`,
		`2.40.1=x`,
	} {
		if !validX500(name) {
			t.Errorf("%q is refused, Java takes it", name)
		}
	}
	for _, name := range []string{
		` `, `a`, `CN`, `=a`, `CN=a,`, `,CN=a`, `CN=a,,O=b`, `XX=a`, `9.9.9=a`, `1=a`, `CN="Ham`, `CN="Ham"x`, `CN=#zz`, `CN=#0c016`,
		`CN=#`, `CN=a<b`, `CN=a>b`, `CN=a"b`, `CN=\4`, `CN=\`, `CN=\x`, `E=a@b`, `CN=a+`, `CN=a+b`, `SN=x`, `C N=a`, `CN=a;`, `CN=a\`,
		`G=x`, `TITLE=x`, `2.5.4.=x`, `2..5=x`, `1.40.1=x`, `3.1.1=x`,
	} {
		if validX500(name) {
			t.Errorf("%q is taken, Java refuses it", name)
		}
	}
}
