package zk

import (
	"fmt"
	"io"
	"strings"

	"github.com/millrace/millrace/quorum/jute"
)

// permLetters are the permissions in the order in which they are printed.
const permLetters = "cdrwa"

func permBit(letter byte) int32 {
	switch letter {
	case 'c':
		return jute.PermCreate
	case 'd':
		return jute.PermDelete
	case 'r':
		return jute.PermRead
	case 'w':
		return jute.PermWrite
	case 'a':
		return jute.PermAdmin
	}
	return 0
}

// parseACL reads scheme:id:perms,scheme:id:perms. What has another form is told and left out,
// as ZooKeeper's AclParser does: then the server finds the list not valid.
func parseACL(s string, errs io.Writer) []jute.ACL {
	acl := []jute.ACL{}
	for _, entry := range strings.Split(strings.TrimRight(s, ","), ",") {
		first, last := strings.IndexByte(entry, ':'), strings.LastIndexByte(entry, ':')
		if first == last {
			fmt.Fprintln(errs, entry, "does not have the form scheme:id:perm")
			continue
		}
		a := jute.ACL{ID: jute.ID{Scheme: entry[:first], ID: entry[first+1 : last]}}
		for _, c := range []byte(entry[last+1:]) {
			bit := permBit(c)
			if bit == 0 {
				fmt.Fprintf(errs, "Unknown perm type: %c\n", c)
			}
			a.Perms |= bit
		}
		acl = append(acl, a)
	}
	return acl
}

// printACL prints a list as getAcl does: the identity as its class writes it, then the
// letters.
func printACL(w io.Writer, acl []jute.ACL) {
	for _, a := range acl {
		letters := ""
		for _, c := range []byte(permLetters) {
			if a.Perms&permBit(c) != 0 {
				letters += string(c)
			}
		}
		fmt.Fprintf(w, "'%s,'%s\n: %s\n", a.ID.Scheme, a.ID.ID, letters)
	}
}
