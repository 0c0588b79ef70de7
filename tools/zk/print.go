package zk

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/millrace/millrace/quorum/jute"
)

// printStat prints a Stat as ZooKeeper's StatPrinter does.
func printStat(w io.Writer, s *jute.Stat) {
	fmt.Fprintf(w, "cZxid = 0x%x\n", uint64(s.Czxid))
	fmt.Fprintf(w, "ctime = %s\n", javaDate(s.CtimeMs))
	fmt.Fprintf(w, "mZxid = 0x%x\n", uint64(s.Mzxid))
	fmt.Fprintf(w, "mtime = %s\n", javaDate(s.MtimeMs))
	fmt.Fprintf(w, "pZxid = 0x%x\n", uint64(s.Pzxid))
	fmt.Fprintf(w, "cversion = %d\n", s.Cversion)
	fmt.Fprintf(w, "dataVersion = %d\n", s.Version)
	fmt.Fprintf(w, "aclVersion = %d\n", s.Aversion)
	fmt.Fprintf(w, "ephemeralOwner = 0x%x\n", uint64(s.EphemeralOwner))
	fmt.Fprintf(w, "dataLength = %d\n", s.DataLength)
	fmt.Fprintf(w, "numChildren = %d\n", s.NumChildren)
}

// javaDate is java.util.Date.toString.
func javaDate(ms int64) string {
	return time.UnixMilli(ms).Local().Format("Mon Jan 02 15:04:05 MST 2006")
}

// text is data as a string of Java's: bytes that are no UTF-8 show as a question mark in a box.
func text(data []byte) string {
	if data == nil {
		return "null"
	}
	return strings.ToValidUTF8(string(data), "\ufffd")
}

// hexDump is data as Netty's prettyHexDump prints it.
func hexDump(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	const line = "+--------+-------------------------------------------------+----------------+"
	var b strings.Builder
	b.WriteString("         +-------------------------------------------------+\n")
	b.WriteString("         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |\n")
	b.WriteString(line)
	for at := 0; at < len(data); at += 16 {
		row := data[at:min(at+16, len(data))]
		fmt.Fprintf(&b, "\n|%08x|", at)
		for i := range 16 {
			if i < len(row) {
				fmt.Fprintf(&b, " %02x", row[i])
			} else {
				b.WriteString("   ")
			}
		}
		b.WriteString(" |")
		for i := range 16 {
			c := byte(' ')
			if i < len(row) {
				if c = row[i]; c <= 0x1f || c >= 0x7f {
					c = '.'
				}
			}
			b.WriteByte(c)
		}
		b.WriteByte('|')
	}
	b.WriteString("\n" + line)
	return b.String()
}

// list is a Java list as a string: [a, b].
func list(words []string) string { return "[" + strings.Join(words, ", ") + "]" }
