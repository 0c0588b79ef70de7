package observe

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/millrace/millrace/bench/result"
)

// Machine describes the machine for a result, as far as it can be told; dir is where the data
// lies ("": the folder for temporary files). It names no host and no user.
func Machine(dir string) result.Machine {
	if dir == "" {
		dir = os.TempDir()
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	m := result.Machine{CPU: runtime.GOARCH, CPUs: runtime.NumCPU(), Kernel: runtime.GOOS, GoVersion: runtime.Version()}
	describe(&m, dir)
	return m
}
