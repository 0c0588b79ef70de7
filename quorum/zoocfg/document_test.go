package zoocfg

import (
	goflag "flag"
	"os"
	"strings"
	"testing"
)

var update = goflag.Bool("update", false, "write docs/zoo-cfg.md")

// TestDocumentation: docs/zoo-cfg.md is what the catalogue says, and leaves no key out.
func TestDocumentation(t *testing.T) {
	const file = "../../docs/zoo-cfg.md"
	text := Document()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil || string(have) != text {
		t.Errorf("docs/zoo-cfg.md is old: go generate ./quorum/zoocfg (%v)", err)
	}
	undocumented := map[string]bool{ // told below the table
		"ssl.keyStore.passwordPath": true, "ssl.trustStore.passwordPath": true, "ssl.crl": true, "ssl.ocsp": true, "ssl.context.supplier.class": true,
	}
	docs := effects()
	for _, k := range newCatalogue() {
		if k.parse != nil && docs[k.name] == "" && !undocumented[strings.Replace(k.name, "ssl.quorum.", "ssl.", 1)] &&
			!strings.HasPrefix(k.name, "ssl.quorum.") && !strings.Contains(text, "| `"+k.name+"` | ") {
			t.Errorf("%s is not documented", k.name)
		}
		delete(docs, k.name)
	}
	for name := range docs {
		t.Errorf("%s is documented and no key", name)
	}
}
