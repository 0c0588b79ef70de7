package zoocfg

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Server is one server.N line.
type Server struct {
	ID           int64
	Host         string // a name, or an address without brackets
	PeerPort     int    // between servers (2888)
	ElectionPort int    // between servers as well (3888)
	Observer     bool
	ClientHost   string // where it takes clients: empty for every address
	ClientPort   int    // 0: the line does not say
}

// The ids that a server may have: one byte of each session id is its server's.
const (
	MinID = 1
	MaxID = 255
)

const serverForm = "server.N=host:port:port[:participant|observer][;[host:]port]"

// ParseServer reads the value of a server.N line: host:2888:3888, then optionally the role and,
// after a semicolon, where clients come. IPv6 addresses stand in brackets.
func ParseServer(id int64, value string) (Server, error) {
	s := Server{ID: id}
	if id < MinID || id > MaxID {
		return s, refused("the number in server.N is %d, but it must be %d to %d: a session id holds it in one byte", id, MinID, MaxID)
	}
	servers, client, hasClient := strings.Cut(value, ";")
	if strings.Contains(servers, "|") {
		return s, refused("a server has several addresses here (multiAddress), which is not supported: keep one, perhaps a DNS name, which is looked up anew each time that a server connects")
	}
	host, rest, err := cutHost(servers)
	if err != nil {
		return s, err
	}
	s.Host = host
	parts := strings.Split(rest, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return s, allowed("%s", serverForm)
	}
	for i, to := range []*int{&s.PeerPort, &s.ElectionPort} {
		if *to, err = port(parts[i]); err != nil {
			return s, err
		}
	}
	if s.PeerPort == s.ElectionPort {
		return s, refused("both ports are %d: give two different ones, as in host:2888:3888", s.PeerPort)
	}
	if len(parts) == 3 {
		switch strings.ToLower(strings.TrimSpace(parts[2])) {
		case "participant":
		case "observer":
			s.Observer = true
		default:
			return s, allowed("participant or observer after the ports, not %q", parts[2])
		}
	}
	if !hasClient {
		return s, nil
	}
	if i := strings.LastIndex(client, ":"); i >= 0 {
		h, _, err := cutHost(client)
		if err != nil {
			return s, err
		}
		s.ClientHost = h
		client = client[i+1:]
	}
	if s.ClientHost == "0.0.0.0" {
		s.ClientHost = ""
	}
	s.ClientPort, err = port(client)
	return s, err
}

// cutHost takes the host from the front of "host:rest" or "[v6]:rest".
func cutHost(text string) (host, rest string, err error) {
	text = strings.TrimSpace(text)
	if inside, ok := strings.CutPrefix(text, "["); ok {
		host, rest, ok = strings.Cut(inside, "]:")
		if _, err := netip.ParseAddr(host); ok && err == nil {
			return host, rest, nil
		}
		return "", "", allowed("%s, an IPv6 address as in [::1]:2888:3888", serverForm)
	}
	host, rest, ok := strings.Cut(text, ":")
	if host = strings.TrimSpace(host); !ok || host == "" || strings.ContainsFunc(host, notInNames) {
		return "", "", allowed("%s", serverForm)
	}
	return host, rest, nil
}

// notInNames tells whether a host's name cannot hold r.
func notInNames(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r)
}

func port(text string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
	if err != nil || n == 0 {
		return 0, refused("%q is no port, 1 to 65535; the form is %s", text, serverForm)
	}
	return int(n), nil
}

// ParseServerLine reads a whole "server.N=..." as reconfig takes it.
func ParseServerLine(line string) (Server, error) {
	key, value, ok := strings.Cut(line, "=")
	number, isServer := strings.CutPrefix(strings.TrimSpace(key), "server.")
	id, err := strconv.ParseInt(number, 10, 64)
	if !ok || !isServer || err != nil {
		return Server{}, allowed("%s", serverForm)
	}
	return ParseServer(id, strings.TrimSpace(value))
}

// ParseServers reads the lines of a dynamic file's text or of the value of /zookeeper/config,
// and returns the servers by id and the version, 0 if there is none.
func ParseServers(text string) (servers []Server, version int64, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if hex, ok := strings.CutPrefix(line, "version="); ok {
			if version, err = strconv.ParseInt(hex, 16, 64); err != nil {
				return nil, 0, fmt.Errorf("%s: %w", line, err)
			}
			continue
		}
		s, err := ParseServerLine(line)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", line, err)
		}
		servers = append(servers, s)
	}
	sortServers(servers)
	return servers, version, nil
}

func sortServers(servers []Server) {
	slices.SortFunc(servers, func(a, b Server) int { return int(a.ID - b.ID) })
}

// Value is what stands after "server.N=", in the form that ZooKeeper's config command prints.
func (s Server) Value() string {
	role := "participant"
	if s.Observer {
		role = "observer"
	}
	v := fmt.Sprintf("%s:%d:%d:%s", bracket(s.Host), s.PeerPort, s.ElectionPort, role)
	if s.ClientPort == 0 {
		return v
	}
	host := s.ClientHost
	if host == "" {
		host = "0.0.0.0"
	}
	return fmt.Sprintf("%s;%s:%d", v, bracket(host), s.ClientPort)
}

// String is the whole line.
func (s Server) String() string { return fmt.Sprintf("server.%d=%s", s.ID, s.Value()) }

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// PeerAddress is host:port of the first port.
func (s Server) PeerAddress() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.PeerPort)) }

// ElectionAddress is host:port of the second port.
func (s Server) ElectionAddress() string {
	return net.JoinHostPort(s.Host, strconv.Itoa(s.ElectionPort))
}

// ClientAddress is host:port of the client port, empty where the line does not say.
func (s Server) ClientAddress() string {
	if s.ClientPort == 0 {
		return ""
	}
	return net.JoinHostPort(s.ClientHost, strconv.Itoa(s.ClientPort))
}

// FormatServers is the text of a dynamic file: one line for each server, by id.
func FormatServers(servers []Server) string {
	sorted := slices.Clone(servers)
	sortServers(sorted)
	var b strings.Builder
	for _, s := range sorted {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	return b.String()
}
