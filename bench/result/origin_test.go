package result

import (
	"os/exec"
	"strings"
	"testing"
)

func TestCommandLineIsReadByAShell(t *testing.T) {
	for _, args := range [][]string{
		{"/usr/local/bin/millrace", "bench", "e2e", "--topic", "it's $HOME", "", "a;b", `c\d`, "~", "#x", "plain"},
		{"millrace", "--producer-props", "bootstrap.servers=127.0.0.1:9092", "acks=all"},
	} {
		out, err := exec.Command("sh", "-c", "millrace() { printf '%s\\n' \"$@\"; }; "+CommandLine(args)).Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Join(args[1:], "\n") + "\n"; string(out) != want {
			t.Errorf("a shell reads %q, want %q", out, want)
		}
	}
}

func TestCommandLineHidesPasswords(t *testing.T) {
	line := CommandLine([]string{"millrace", "sasl.jaas.config=x required username=\"u\" password=\"hidden\";", "--command-property=ssl.key.password=hidden",
		"ssl.truststore.password=hidden", "SSL.KEYSTORE.KEY=hidden", "acks=1,ssl.key.password=hidden", "sasl.jaas.config=x\nhidden", "--topic", "tokens", "acks=1"})
	if strings.Contains(line, "hidden") || !strings.Contains(line, "ssl.truststore.password=...") || !strings.Contains(line, "tokens acks=1") {
		t.Error(line)
	}
}
