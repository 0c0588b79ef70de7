package observe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/bench/result"
)

// describe fills in what the kernel tells; what it does not stays as it is.
func describe(m *result.Machine, dir string) {
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 {
			if name := strings.TrimSpace(cpus[0].ModelName); name != "" {
				m.CPU = name
			}
		}
		if mem, err := fs.Meminfo(); err == nil && mem.MemTotalBytes != nil {
			m.MemoryBytes = int64(*mem.MemTotalBytes)
		}
		if load, err := fs.LoadAvg(); err == nil {
			m.LoadAverage = load.Load1
		}
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		m.Kernel = "Linux " + unix.ByteSliceToString(name.Release[:])
	}
	if b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control"); err == nil {
		m.CongestionControl = strings.TrimSpace(string(b))
	}
	if mounts, err := procfs.GetMounts(); err == nil {
		m.FileSystem = fileSystem(mounts, dir)
	}
}

// fileSystem is the type of the file system that dir lies on, with its options: those of the
// mount point and those of the file system itself. Of mounts on top of each other the last
// one counts. A dir that does not exist yet lies where its parent does.
func fileSystem(mounts []*procfs.MountInfo, dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	var best *procfs.MountInfo
	for _, m := range mounts {
		if under(dir, m.MountPoint) && (best == nil || len(m.MountPoint) >= len(best.MountPoint)) {
			best = m
		}
	}
	if best == nil {
		return ""
	}
	var options []string
	for _, set := range []map[string]string{best.Options, best.SuperOptions} {
		for k, v := range set {
			if v != "" {
				k += "=" + v
			}
			if !strings.Contains(k, "/") { // paths of overlays say nothing of speed
				options = append(options, k)
			}
		}
	}
	slices.Sort(options)
	return strings.TrimSpace(best.FSType + " " + strings.Join(slices.Compact(options), ","))
}

func under(path, mount string) bool {
	return path == mount || mount == "/" || strings.HasPrefix(path, mount+"/")
}
