package observe

import (
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/prometheus/procfs"
)

// FindListener tells which process listens on hostport, by the kernel's tables of sockets and
// the open files of all processes that this user may see. Errors: *RemoteError,
// *NoListenerError, *HiddenError.
func FindListener(hostport string) (pid int, err error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return 0, fmt.Errorf("address %q: %w (want HOST:PORT)", hostport, err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("address %q: %q is no port (want HOST:PORT)", hostport, service)
	}
	ips, err := resolve(host)
	if err != nil {
		return 0, fmt.Errorf("address %q: %w", hostport, err)
	}
	if !anyLocal(ips) {
		return 0, &RemoteError{hostport}
	}
	inodes, err := listening(ips, port)
	if err != nil {
		return 0, fmt.Errorf("sockets of this machine: %w", err)
	}
	if len(inodes) == 0 {
		return 0, &NoListenerError{hostport}
	}
	return owner(hostport, inodes)
}

func resolve(host string) ([]net.IP, error) {
	if host == "" {
		return []net.IP{net.IPv4zero}, nil
	}
	if ip := net.ParseIP(host); ip != nil {
		return []net.IP{ip}, nil
	}
	return net.LookupIP(host)
}

func anyLocal(ips []net.IP) bool {
	own, _ := net.InterfaceAddrs() // without them loopback remains
	return slices.ContainsFunc(ips, func(ip net.IP) bool {
		return ip.IsLoopback() || ip.IsUnspecified() || slices.ContainsFunc(own, func(a net.Addr) bool {
			n, ok := a.(*net.IPNet)
			return ok && n.IP.Equal(ip)
		})
	})
}

// listening are the sockets that accept connections to one of ips: bound to it or to all.
func listening(ips []net.IP, port uint64) (map[string]bool, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, err
	}
	v4, err := fs.NetTCP()
	if err != nil {
		return nil, err
	}
	v6, err := fs.NetTCP6()
	if err != nil {
		v6 = nil // a kernel without IPv6
	}
	const listen = 10 // TCP_LISTEN
	inodes := map[string]bool{}
	for _, line := range slices.Concat(v4, v6) {
		if line.St != listen || line.LocalPort != port {
			continue
		}
		if line.LocalAddr.IsUnspecified() || slices.ContainsFunc(ips, func(ip net.IP) bool { return ip.IsUnspecified() || ip.Equal(line.LocalAddr) }) {
			inodes[fmt.Sprintf("socket:[%d]", line.Inode)] = true
		}
	}
	return inodes, nil
}

// owner finds who has one of the sockets open. Where several do (systemd keeps the sockets
// that it activates), it is not process 1, and the oldest of the others.
func owner(hostport string, inodes map[string]bool) (int, error) {
	procs, err := procfs.AllProcs()
	if err != nil {
		return 0, &HiddenError{hostport, err.Error()}
	}
	var holders []procfs.Proc
	for _, p := range procs {
		targets, err := p.FileDescriptorTargets()
		if err != nil {
			continue // another user's, or it ended
		}
		if slices.ContainsFunc(targets, func(t string) bool { return inodes[t] }) {
			holders = append(holders, p)
		}
	}
	slices.SortFunc(holders, func(a, b procfs.Proc) int { return a.PID - b.PID })
	if len(holders) > 1 && holders[0].PID == 1 {
		holders = holders[1:]
	}
	if len(holders) == 0 {
		return 0, &HiddenError{hostport, "it belongs to another user"}
	}
	if name, err := holders[0].Comm(); err == nil && proxy(name) {
		return 0, &HiddenError{hostport, fmt.Sprintf("process %d is %s, which only passes connections on to a container", holders[0].PID, name)}
	}
	return holders[0].PID, nil
}

// proxy reports whether a program of that name listens for a server elsewhere.
func proxy(name string) bool {
	return name == "docker-proxy" || name == "rootlessport" || name == "slirp4netns"
}
