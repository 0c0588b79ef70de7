package perf

import (
	"time"

	"github.com/millrace/millrace/bench/pace"
)

// wall turns readings of the monotonic clock into Kafka's currentTimeMillis, so that a
// latency in whole milliseconds is the difference of two such times, as Kafka has it, and a
// step of the system's clock in the middle of a run does no harm.
type wall struct{ baseNs int64 }

func newWall() wall { return wall{baseNs: time.Now().UnixNano() - pace.Now()} }

// ms is the wall time in milliseconds at mono (ns, as pace.Now has it).
func (w wall) ms(mono int64) int64 { return (w.baseNs + mono) / 1e6 }

// now is the wall time in milliseconds.
func (w wall) now() int64 { return w.ms(pace.Now()) }
