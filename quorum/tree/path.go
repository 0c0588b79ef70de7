package tree

import "strings"

// split cuts path at its last slash. It refuses what has none or holds a NUL.
func split(path string) (parent, name string, ok bool) {
	at := strings.LastIndexByte(path, '/')
	if at < 0 || strings.IndexByte(path, 0) >= 0 {
		return "", "", false
	}
	return path[:at], path[at+1:], true
}

// The nodes that are always there.
const (
	systemPath = "/zookeeper"
	quotaPath  = "/zookeeper/quota"
	// ConfigPath is the node that holds the ensemble's configuration.
	ConfigPath = "/zookeeper/config"
)

// special tells which nodes cannot be deleted.
func special(path string) bool {
	return path == "/" || path == systemPath || path == quotaPath || path == ConfigPath
}
