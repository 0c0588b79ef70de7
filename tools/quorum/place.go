package quorum

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/internal/vfs/osfs"
	"github.com/millrace/millrace/quorum/zoocfg"
	"github.com/millrace/millrace/tools/cli"
)

// place is where a server's files are, as zkEnv.sh and zkServer.sh find them.
type place struct {
	config string // zoo.cfg
	logDir string
	values map[string]string // of config, unjudged
}

// home is the folder that bin/ lies in, or the working directory.
func home() string {
	if exe, err := os.Executable(); err == nil && filepath.Base(filepath.Dir(exe)) == "bin" {
		return filepath.Dir(filepath.Dir(exe))
	}
	return "."
}

// configDir is where zoo.cfg is looked for: --config, ZOOCFGDIR, or conf beside bin/.
func configDir(flag string) string {
	if dir := cmp.Or(flag, os.Getenv("ZOOCFGDIR")); dir != "" {
		return dir
	}
	for _, dir := range []string{"conf", "etc/zookeeper"} {
		if dir = filepath.Join(home(), dir); exists(dir) {
			return dir
		}
	}
	return filepath.Join(home(), "conf")
}

// configFile finds the file that a command line names. A name without a folder lies in the
// configuration's folder, for scripts; a subcommand of the one binary takes it here first.
func configFile(called, dirFlag, file string) string {
	dir := configDir(dirFlag)
	if file == "" {
		return filepath.Join(dir, cmp.Or(os.Getenv("ZOOCFG"), "zoo.cfg"))
	}
	if filepath.Base(file) != file {
		return file
	}
	there := filepath.Join(dir, file)
	if script := strings.HasPrefix(called, "zk"); script && exists(there) || !exists(file) && exists(there) {
		return there
	}
	return file
}

func exists(name string) bool { _, err := os.Stat(name); return err == nil }

// find reads where the files of a server are.
func find(called, dirFlag, file string) (*place, error) {
	p := &place{config: configFile(called, dirFlag, file), logDir: os.Getenv("ZOO_LOG_DIR")}
	if p.logDir == "" {
		p.logDir = filepath.Join(home(), "logs")
	}
	values, err := zoocfg.Peek(osfs.FS{}, p.config)
	if err != nil {
		return p, err
	}
	p.values = values
	return p, nil
}

func (p *place) dataDir() string    { return p.values["dataDir"] }
func (p *place) dataLogDir() string { return cmp.Or(p.values["dataLogDir"], p.values["dataDir"]) }

// pidFile is ZOOPIDFILE, or zookeeper_server.pid in dataDir.
func (p *place) pidFile() (string, error) {
	if file := os.Getenv("ZOOPIDFILE"); file != "" {
		return file, nil
	}
	if p.dataDir() == "" {
		return "", &cli.ExitError{Code: 1, Message: p.config + ": dataDir is not set"}
	}
	return filepath.Join(p.dataDir(), "zookeeper_server.pid"), nil
}

// console is where the output of a server in the background goes, and logFile its log.
func (p *place) console() string { return filepath.Join(p.logDir, logName("out")) }

// LogFile is the log of a server that was started in the background: in ZOO_LOG_DIR, or in
// logs/ beside bin/.
func LogFile() string {
	p := place{logDir: cmp.Or(os.Getenv("ZOO_LOG_DIR"), filepath.Join(home(), "logs"))}
	return filepath.Join(p.logDir, cmp.Or(os.Getenv("ZOO_LOG_FILE"), logName("log")))
}

func logName(suffix string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return "zookeeper-" + os.Getenv("USER") + "-server-" + host + "." + suffix
}
