// Package raftnet carries Raft's messages between servers: a raft.Transport with a codec of its
// own. It knows neither addresses nor sockets, see Network.
//
// # The format
//
// A connection carries frames, each of them answered before the next one, except news. Numbers
// are big endian; name is length(1) and bytes, blob is length(4) and bytes, bool is 0 or 1.
//
//	frame:   length(4, of what follows) kind(1) body
//	header:  protocol(1) name id, name address        whose message it is
//
// From the caller:
//
//	1  append:   header term(8) previous index(8) previous term(8) commit(8) name leader
//	             count(4) count*entry data
//	             entry: index(8) term(8) type(1) appended at: seconds(8) nanoseconds(4)
//	             data: length(4) extensions: length(4)
//	             data: the data and then the extensions of each entry, without gaps
//	2  vote:     header term(8) last index(8) last term(8) transfer: bool, name candidate
//	3  pre-vote: header term(8) last index(8) last term(8)
//	4  timeout:  header
//	5  snapshot: header version(1) term(8) last index(8) last term(8) configuration index(8)
//	             size(8) name leader, blob peers, blob configuration
//	             after the frame size bytes of the snapshot
//	6  news:     as append, and nothing is answered
//
// From the server that was called:
//
//	129  appended:  header term(8) last index(8) success: bool, no backoff: bool
//	130  voted:     header term(8) granted: bool, blob peers
//	131  pre-voted: header term(8) granted: bool
//	132  timing out: header
//	133  installed: header term(8) success: bool
//	255  refused:   text, to the end of the frame
//
// What stands in front of the data of entries is small, so that a sender leaves the data where it
// is and the kernel gathers it, and a receiver takes all data of a message in one stretch of
// memory, which the entries then share.
//
// # What is bounded
//
// A frame that is longer than Options.MaxMessageBytes, or does not add up, ends its connection
// with ErrMalformed. Of a length only so much is believed as bytes have arrived. A sender keeps
// its messages to Options.MaxSendBytes by leaving entries to the next one; a single entry may be
// larger. Snapshots are streams and have no bound here.
package raftnet
