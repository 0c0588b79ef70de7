package tree

import "github.com/millrace/millrace/quorum/jute"

// A session with KeepResult keeps the Result of its last write encoded: it is written on each
// write and read hardly ever.

func appendResult(dst []byte, r *Result) []byte {
	dst = appendInt(appendInt(dst, r.Zxid), int64(r.Code))
	dst = appendOpResult(dst, &r.Op)
	dst = appendUint(dst, uint64(len(r.Ops)))
	for i := range r.Ops {
		dst = appendOpResult(dst, &r.Ops[i])
	}
	return dst
}

func appendOpResult(dst []byte, r *OpResult) []byte {
	dst = appendInt(append(dst, byte(r.Kind)), int64(r.Code))
	return appendStat(appendString(dst, r.Path), &r.Stat)
}

// minOpResult is the size of the smallest OpResult.
const minOpResult = 1 + 1 + 1 + 11

func readResult(r *reader) (res Result) {
	res.Zxid, res.Code = r.int(), jute.Code(r.int32())
	res.Op = readOpResult(r)
	n := r.count(minOpResult)
	if n > 0 {
		res.Ops = make([]OpResult, 0, n)
	}
	for range n {
		res.Ops = append(res.Ops, readOpResult(r))
	}
	return res
}

func readOpResult(r *reader) OpResult {
	return OpResult{Kind: Kind(r.byte()), Code: jute.Code(r.int32()), Path: r.string(), Stat: r.stat()}
}

// decodeKept reads what appendResult wrote; a session that has written nothing yet has none.
func decodeKept(b []byte) Result {
	if len(b) == 0 {
		return Result{}
	}
	return readResult(&reader{b: b})
}
