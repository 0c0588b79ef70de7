package metadata

import "github.com/millrace/millrace/quorum/client"

// SessionOf is a store's session with its password.
func SessionOf(s *ZKStore) client.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client.Session()
}
