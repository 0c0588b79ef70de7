package jute

import (
	"crypto/sha1" // #nosec G505 -- what ZooKeeper's digest scheme is made of
	"encoding/base64"
	"strings"
)

// The names of ZooKeeper's authentication schemes.
const (
	SchemeWorld  = "world"
	SchemeAuth   = "auth" // in an ACL: whoever sets it
	SchemeDigest = "digest"
	SchemeIP     = "ip"
	SchemeX509   = "x509"
	SchemeSASL   = "sasl"
	SchemeSuper  = "super"
)

// DigestID returns who a client is that showed "user:password" (auth packet of scheme
// digest): user:base64(sha1(user:password)).
func DigestID(userPassword string) ID {
	user, _, _ := strings.Cut(userPassword, ":")
	sum := sha1.Sum([]byte(userPassword)) // #nosec G401
	return ID{Scheme: SchemeDigest, ID: user + ":" + base64.StdEncoding.EncodeToString(sum[:])}
}
