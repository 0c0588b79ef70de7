package server

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/node"
	"github.com/millrace/millrace/quorum/tree"
)

func (s *Server) cmdLeader(url.Values) (object, string) {
	status := s.member.Status()
	if status.Mode == node.Standalone {
		return nil, "server is not initialized"
	}
	address := ""
	for _, m := range members(s.membership()) {
		if m.id == status.LeaderID {
			address = hostOf(m.quorum)
		}
	}
	return object{{"is_leader", status.Mode == node.Leader}, {"leader_id", status.LeaderID}, {"leader_ip", address}}, ""
}

func hostOf(address string) string {
	if at := strings.LastIndexByte(address, ':'); at >= 0 {
		return address[:at]
	}
	return address
}

func (s *Server) cmdObservers(url.Values) (object, string) {
	observers := []object{}
	for _, m := range members(s.membership()) {
		if m.observer {
			observers = append(observers, object{{"sid", m.id}, {"quorum_address", m.quorum}})
		}
	}
	return object{{"synced_observers", s.member.Status().SyncedObservers}, {"observers", observers}}, ""
}

func (s *Server) cmdVotingView(url.Values) (object, string) {
	view := object{}
	if s.member.Status().Mode != node.Standalone {
		for _, m := range members(s.membership()) {
			if m.observer {
				continue
			}
			view = append(view, field{strconv.Itoa(m.id), object{
				{"server_addresses", []string{m.quorum}},
				{"election_addresses", []string{m.election}},
				{"client_address", m.client},
				{"learner_type", "participant"},
			}})
		}
	}
	return object{{"current_config", view}}, ""
}

// cmdZabState tells the phase of the member in ZooKeeper's words: Raft knows an election, and
// that entries are broadcast.
func (s *Server) cmdZabState(url.Values) (object, string) {
	status := s.member.Status()
	if status.Mode == node.Standalone {
		return object{{"voting", false}, {"zabstate", ""}}, ""
	}
	var self memberLine
	for _, m := range members(s.membership()) {
		if m.id == status.ID {
			self = m
		}
	}
	var zxid int64
	s.member.Read(func(t *tree.State) { zxid = t.Zxid() })
	phase := "broadcast"
	if status.Mode == node.Looking {
		phase = "election"
	}
	return object{
		{"myid", status.ID},
		{"is_leader", status.Mode == node.Leader},
		{"quorum_address", addresses(self.quorum)},
		{"election_address", addresses(self.election)},
		{"client_address", self.client},
		{"voting", status.Voter},
		{"last_zxid", hex(zxid)},
		{"zab_epoch", zxid >> 32},
		{"zab_counter", zxid & (1<<32 - 1)},
		{"zabstate", phase},
	}, ""
}

// addresses is a server's address as ZooKeeper's JSON has it: a server may have several there, and
// is looked at for whether they can be reached only then.
func addresses(address string) object {
	list, ports, hosts, everywhere := []string{}, []int{}, []string{}, []string{}
	if address != "" {
		at := strings.LastIndexByte(address, ':')
		port, _ := strconv.Atoi(address[at+1:])
		list, ports = append(list, address), append(ports, port)
		hosts, everywhere = append(hosts, strings.Trim(hostOf(address), "[]")), append(everywhere, "0.0.0.0"+address[max(at, 0):])
	}
	return object{
		{"empty", address == ""},
		{"all_addresses", list},
		{"all_reachable_addresses", list},
		{"one", address},
		{"reachable_address", address},
		{"wildcard_addresses", everywhere},
		{"all_ports", ports},
		{"all_host_strings", hosts},
		{"all_reachable_addresses_or_all", list},
		{"reachable_or_one", address},
	}
}
