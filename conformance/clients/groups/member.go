package groups

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Orders tell a member what to do.
type Orders struct {
	Client      string `json:"client"`
	Bootstrap   string `json:"bootstrap"`
	Group       string `json:"group"`
	Topic       string `json:"topic"`
	Protocol    string `json:"protocol"` // eager, cooperative or consumer (KIP-848)
	Instance    string `json:"instance"` // "" for a dynamic member
	ClientID    string `json:"clientId"`
	SessionMs   int    `json:"sessionMs"`
	HeartbeatMs int    `json:"heartbeatMs"`
}

// Seen is a record that a member has worked on.
type Seen struct {
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Value     string `json:"value"`
}

// rebalanceTimeout is how long a rebalance waits for a member; the programs in drivers/ say
// the same.
const rebalanceTimeout = 10 * time.Second

// report is one line of a member.
type report struct {
	Seen []Seen `json:"seen,omitempty"`
	Note string `json:"note,omitempty"` // for people: an error that the client told
}

// reporter writes a member's reports; a report is out before its method returns.
type reporter struct {
	mu  sync.Mutex
	out io.Writer
}

func (r *reporter) line(l report) {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // the type can be marshalled
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.out.Write(append(text, '\n')) // nobody listens: the test has ended
}

func (r *reporter) seen(recs ...Seen) { r.line(report{Seen: recs}) }

func (r *reporter) note(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		r.line(report{Note: err.Error()})
	}
}

// consumers in Go consume until ctx ends, and then leave.
var consumers = map[string]func(ctx context.Context, o Orders, r *reporter) error{
	"franz-go":           consumeFranz,
	"sarama":             consumeSarama,
	"kafka-go":           consumeKafkaGo,
	"confluent-kafka-go": consumeConfluent,
}

// beMember is the main program of a member in Go.
func beMember(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var o Orders
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		cancel()
	}()
	consume, ok := consumers[o.Client]
	if !ok {
		return fmt.Errorf("no client %q", o.Client)
	}
	return consume(ctx, o, &reporter{out: out})
}

// memberEnv makes the test binary a member.
const memberEnv = "GROUPS_MEMBER"

func isMember() bool { return os.Getenv(memberEnv) != "" }
