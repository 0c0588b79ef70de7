package harness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// answers makes one ApiVersions call.
func answers(addr string) error {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	// Size, API key 18, version 0, correlation id 7, client id "harness".
	request := []byte("\x00\x00\x00\x11\x00\x12\x00\x00\x00\x00\x00\x07\x00\x07harness")
	if _, err := c.Write(request); err != nil {
		return err
	}
	var head [10]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	if id, code := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint16(head[8:]); id != 7 || code != 0 {
		return fmt.Errorf("ApiVersions answered with correlation id %d, error %d", id, code)
	}
	return nil
}

// command is what runs a broker, without its properties file.
func command(binary string) ([]string, error) {
	if launcher := os.Getenv("LAUNCHER"); launcher != "" && binary == "" {
		return strings.Fields(launcher), nil
	}
	if binary == "" {
		var err error
		if binary, err = Binary(); err != nil {
			return nil, err
		}
	}
	return []string{binary, "server"}, nil
}

// Binary is the project's binary: MILLRACE_BIN, or one built once per test process.
func Binary() (string, error) { return built() }

var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("MILLRACE_BIN"); path != "" {
		abs, err := filepath.Abs(path)
		if err == nil {
			_, err = os.Stat(abs)
		}
		return abs, err
	}
	return Build("millrace")
})

// Build builds the binary with the given flags of go build into the user's cache folder
// under a name of its own. It is put there by a rename, because other test processes may
// run its predecessor.
func Build(name string, flags ...string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "millrace-conformance")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	cmd := exec.Command("go", append(append([]string{"build", "-o", fresh}, flags...), "./cmd/millrace")...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the broker: %w\n%s", err, out)
	}
	return path, os.Rename(fresh, path)
}

// moduleRoot is the folder of the project's go.mod, above the test's folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/millrace/millrace\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the tests do not run inside the project: name the broker by MILLRACE_BIN")
		}
		dir = parent
	}
}
