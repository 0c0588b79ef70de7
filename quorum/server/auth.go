package server

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

// superID passes every ACL.
var superID = jute.ID{Scheme: jute.SchemeSuper}

// identification is a request by which the client says who it is.
func (c *conn) identification(q request) bool {
	if q.op == jute.OpSASL {
		return c.refuseSASL(q)
	}
	return c.authenticate(q)
}

// authenticate adds an identity to the connection, or refuses and ends it. The reply does not
// wait for earlier requests, and later ones are made with the new identity. False: refused.
func (c *conn) authenticate(q request) bool {
	var p jute.AuthPacket
	if p.Decode(&c.body) != nil {
		c.kill("a malformed auth packet")
		return false
	}
	ok := false
	switch p.Scheme {
	case jute.SchemeDigest:
		id := jute.DigestID(string(p.Auth))
		if id.ID == c.srv.cfg.SuperDigest {
			c.addAuth(superID)
		}
		ok = c.addAuth(id)
	case jute.SchemeIP:
		ok = c.remote.IsValid() // it is there from the start
	case jute.SchemeX509:
		// The certificate was taken when the connection was made.
		ok = slices.ContainsFunc(c.auth, func(id jute.ID) bool { return id.Scheme == jute.SchemeX509 })
	}
	if !ok {
		c.srv.stats.authFailures.Add(1)
		c.srv.log.Warn("authentication failed", "remote", c.remote, "session", hex(c.session.Load()), "scheme", p.Scheme)
		return c.refuse(q, jute.AuthFailed)
	}
	c.mu.Lock()
	c.replyCodeLocked(&q, 0, jute.OK)
	c.mu.Unlock()
	return true
}

// maxIdentityBytes bounds what a client may be: its identities stand in each of its writes.
const maxIdentityBytes = 16 << 10

// addAuth adds an identity once, unless the client has too many. The list is replaced: requests
// on their way keep theirs.
func (c *conn) addAuth(id jute.ID) bool {
	if slices.Contains(c.auth, id) {
		return true
	}
	bytes := len(id.Scheme) + len(id.ID)
	for _, have := range c.auth {
		bytes += len(have.Scheme) + len(have.ID)
	}
	if bytes > maxIdentityBytes {
		return false
	}
	list := append(slices.Clip(c.auth), id)
	c.auth = list
	c.identity.Store(&list)
	return true
}

// addX509 adds the identity of a certificate that the handshake has verified.
func (c *conn) addX509(subject string) {
	if subject == c.srv.cfg.SuperX509 && subject != "" {
		c.addAuth(jute.ID{Scheme: jute.SchemeSuper, ID: subject})
	}
	c.addAuth(jute.ID{Scheme: jute.SchemeX509, ID: subject})
}

// refuseSASL answers a SASL exchange as ZooKeeper does one that fails.
func (c *conn) refuseSASL(q request) bool {
	c.srv.stats.authFailures.Add(1)
	c.srv.log.Warn("client asks for SASL, which this server does not have; use digest or x509, or set zookeeper.sasl.client=false", "remote", c.remote)
	c.mu.Lock()
	if b := c.beginLocked(&q, 0, jute.AuthFailed); b != nil {
		c.endLocked(jute.AppendBuffer(b, nil), &q, 0)
	}
	c.closeLocked()
	c.mu.Unlock()
	return false
}

// mayAsk tells whether the client has shown one of the identities that the configuration asks
// for, if any.
func (c *conn) mayAsk() bool {
	wanted := c.srv.cfg.EnforceAuthSchemes
	return len(wanted) == 0 || slices.ContainsFunc(c.auth, func(id jute.ID) bool {
		return id.Scheme == jute.SchemeSuper || slices.Contains(wanted, id.Scheme)
	})
}

// whoAmI tells the identities without what is secret in them.
func whoAmI(auth []jute.ID) *jute.WhoAmIResponse {
	m := &jute.WhoAmIResponse{}
	for _, id := range auth {
		info := jute.ClientInfo{Scheme: id.Scheme, User: id.ID}
		switch id.Scheme {
		case jute.SchemeDigest:
			info.User, _, _ = strings.Cut(id.ID, ":")
		case jute.SchemeSuper:
			info.User = ""
		}
		m.Infos = append(m.Infos, info)
	}
	return m
}

// javaAddr is an address as Java prints it: IPv6 in full, without leading zeros.
func javaAddr(a netip.Addr) string {
	a = a.Unmap()
	if !a.Is6() {
		return a.String()
	}
	var b strings.Builder
	for i, raw := 0, a.As16(); i < 16; i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		b.WriteString(strconv.FormatUint(uint64(raw[i])<<8|uint64(raw[i+1]), 16))
	}
	if z := a.Zone(); z != "" {
		b.WriteString("%" + z)
	}
	return b.String()
}

// javaAddrPort is a socket's address as Java prints it.
func javaAddrPort(a netip.AddrPort) string {
	if !a.IsValid() {
		return "null"
	}
	host := javaAddr(a.Addr())
	if a.Addr().Unmap().Is6() {
		host = "[" + host + "]"
	}
	return "/" + host + ":" + strconv.Itoa(int(a.Port()))
}
