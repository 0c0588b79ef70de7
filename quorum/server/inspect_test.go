package server

// inspect looks at a connection. What belongs to its reader is read without a lock: the
// reader must be waiting for the network.
func (s *Server) inspect(session int64, f func(*conn)) {
	if c := s.find(session); c != nil {
		f(c)
	}
}

func (s *Server) inspectQueue(session int64, f func(queued int)) {
	s.inspect(session, func(c *conn) {
		c.mu.Lock()
		n := c.queueBytesLocked()
		c.mu.Unlock()
		f(n)
	})
}
