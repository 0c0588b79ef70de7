package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// DefaultTimeout is how long a tool tries to reach a cluster (Kafka's
// default.api.timeout.ms is a minute; nobody at a terminal wants that).
const DefaultTimeout = 15 * time.Second

// Seeds checks a HOST:PORT,HOST:PORT list and splits it.
func Seeds(list string) ([]string, error) {
	var seeds []string
	for _, s := range strings.Split(list, ",") {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		if _, path, ok := strings.Cut(s, "://"); ok {
			s = path
		}
		host, port, err := net.SplitHostPort(s)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil || host == "" {
			return nil, Usagef("Please provide valid host:port like host1:9091,host2:9092\n (not %q)", s)
		}
		seeds = append(seeds, s)
	}
	if len(seeds) == 0 {
		return nil, Usagef("No host:port was given in %q", list)
	}
	return seeds, nil
}

// ClientOptions returns what every client of the tools has: seeds, client id, security
// from props, a bounded wait for the first connection, and one warning to stderr for each
// address that cannot be reached.
func ClientOptions(bootstrap, clientID string, props Props, stderr io.Writer) ([]kgo.Opt, error) {
	seeds, err := Seeds(bootstrap)
	if err != nil {
		return nil, err
	}
	secure, err := securityOptions(props)
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID(props.Or("client.id", clientID)),
		kgo.SoftwareNameAndVersion("millrace-tools", "1"),
		kgo.RetryTimeout(DefaultTimeout),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.WithHooks(&dialWarner{out: stderr, told: map[string]bool{}}),
	}
	return append(opts, secure...), nil
}

// Connect returns a client for cmd. It dials when first used.
func Connect(cmd *cobra.Command, bootstrap, clientID string, props Props, more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := ClientOptions(bootstrap, clientID, props, cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(opts, more...)...)
}

// Serves says whether every broker that answers serves API key at version or above.
func Serves(ctx context.Context, c *kgo.Client, key kmsg.Key, version int16) bool {
	versions, err := kadm.NewClient(c).ApiVersions(ctx)
	if err != nil || len(versions) == 0 {
		return false
	}
	for _, v := range versions {
		if v.Err != nil {
			continue
		}
		if maxVersion, ok := v.KeyMaxVersion(key.Int16()); !ok || maxVersion < version {
			return false
		}
	}
	return true
}

// dialAgain is the pause between two attempts to reach a cluster.
const dialAgain = 250 * time.Millisecond

// ping is the client's, and returns when ctx is done: the client goes on to wait for who took
// the connection and does not answer.
func ping(ctx context.Context, c *kgo.Client) error {
	answered := make(chan error, 1)
	go func() { answered <- c.Ping(ctx) }()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WaitForCluster returns when a broker has answered, or an error that names the addresses.
// A broker that is just starting is waited for, as Kafka's tools do. After an error the caller
// closes c: a connection on which nobody answers may be waited for until then.
func WaitForCluster(ctx context.Context, c *kgo.Client, bootstrap string, timeout time.Duration) error {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var refused *net.OpError // the last
	for {
		err := ping(ctx, c)
		if whole.Err() != nil {
			return fmt.Errorf("no broker answered at %s: %w", bootstrap, whole.Err())
		}
		if err == nil {
			return nil
		}
		if !errors.As(err, &refused) && (refused == nil || ctx.Err() == nil) {
			return fmt.Errorf("no broker answered at %s: %w", bootstrap, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no broker answered at %s: %w", bootstrap, refused)
		case <-time.After(dialAgain):
		}
	}
}

// rootCause strips the retry wrapping from a dial error: what matters is the last reason.
func rootCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	return err
}

// dialWarner prints the first failure to connect to each address.
type dialWarner struct {
	mu   sync.Mutex
	out  io.Writer
	told map[string]bool
}

var _ kgo.HookBrokerConnect = (*dialWarner)(nil)

// OnBrokerConnect is called by the client after each dial.
func (w *dialWarner) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return // or given up by the tool itself
	}
	addr := net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port)))
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[addr] {
		return
	}
	w.told[addr] = true
	fmt.Fprintf(w.out, "WARN: Connection to %s could not be established. Node may not be available. (%v)\n", addr, rootCause(err))
}

// Topics lists the names of all topics, sorted.
func Topics(ctx context.Context, admin *kadm.Client, internal bool) ([]string, error) {
	list := admin.ListTopics
	if internal {
		list = admin.ListTopicsWithInternal
	}
	details, err := list(ctx)
	if err != nil {
		return nil, err
	}
	names := details.Names()
	if !internal {
		names = slices.DeleteFunc(names, IsInternal)
	}
	slices.Sort(names)
	return names, nil
}

// IsInternal says whether Kafka keeps this topic for itself.
func IsInternal(topic string) bool {
	return topic == "__consumer_offsets" || topic == "__transaction_state" || topic == "__share_group_state"
}
