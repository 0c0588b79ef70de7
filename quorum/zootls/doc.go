// Package zootls makes encrypted connections as ZooKeeper's ssl.* and ssl.quorum.* keys
// describe them, from PEM files: the key store holds a private key and its certificates, the
// trust store the authorities.
//
// With reloading on, each handshake looks whether the files changed (their time or size), and
// reads them again then; files that cannot be used leave the ones of before in place and cost a
// log line. Connections that exist go on. There is no goroutine, and no other state.
//
// Between servers both sides show a certificate, whatever it says it is for (Java asks for no
// extended key usage); its names are compared with the host that was dialled unless
// hostnameVerification is off.
package zootls
