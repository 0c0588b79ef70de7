package cluster

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

const quorumExamples = `  # who leads the metadata, and how far the others are
  {{.}} --bootstrap-server 127.0.0.1:9092 describe --status
  {{.}} --bootstrap-server 127.0.0.1:9092 describe --replication --human-readable`

// metadataTopic is the log that the quorum keeps.
const metadataTopic = "__cluster_metadata"

// Quorum returns kafka-metadata-quorum.sh; name is what the user calls it by.
func Quorum(name string) *cobra.Command {
	c := &connection{}
	var status, replication, human bool
	describe := &cobra.Command{Use: "describe", Short: "Describe the metadata quorum info"}
	f := describe.Flags()
	f.BoolVar(&status, "status", false, "A short summary of the quorum.")
	f.BoolVar(&replication, "replication", false, "How far each member is.")
	f.BoolVar(&human, "human-readable", false, "With --replication: times as \"5 ms ago\".")
	root := cli.Commands(&cobra.Command{Use: name, Short: "State of the metadata quorum (kafka-metadata-quorum.sh)", Long: "This tool describes kraft metadata quorum status.", Example: quorumExamples}, describe)
	c.register(root.PersistentFlags(), "command-config", "")
	describe.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case status && replication:
			return cli.Usagef("Only one of --status or --replication should be specified with describe sub-command")
		case !status && !replication:
			return cli.Usagef("One of --status or --replication must be specified with describe sub-command")
		case status && human:
			return cli.Usagef("The option --human-readable is only supported along with --replication")
		}
		return c.with(func(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
			q, err := describeQuorum(ctx, client)
			if err != nil {
				return err
			}
			if replication {
				return q.printReplication(cmd.OutOrStdout(), human, time.Now())
			}
			d, err := describeCluster(ctx, client, false, false)
			if err != nil {
				return err
			}
			return q.printStatus(cmd.OutOrStdout(), d.ClusterID)
		})(cmd, args)
	}
	return root
}

type (
	replica = kmsg.DescribeQuorumResponseTopicPartitionReplicaState
	quorum  struct {
		kmsg.DescribeQuorumResponseTopicPartition
		nodes []kmsg.DescribeQuorumResponseNode
	}
)

func describeQuorum(ctx context.Context, client *kgo.Client) (*quorum, error) {
	if !cli.Serves(ctx, client, kmsg.DescribeQuorum, 0) {
		return nil, errors.New("the cluster has no metadata quorum that can be described (DescribeQuorum is not served)")
	}
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: metadataTopic, Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	if err := cli.NewBrokerError(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, fmt.Errorf("DescribeQuorum answered with %d topics: one with one partition was asked for", len(resp.Topics))
	}
	p := resp.Topics[0].Partitions[0]
	return &quorum{p, resp.Nodes}, cli.NewBrokerError(p.ErrorCode, p.ErrorMessage)
}

// leader is the voter that leads.
func (q *quorum) leader() (replica, error) {
	i := slices.IndexFunc(q.CurrentVoters, func(v replica) bool { return v.ReplicaID == q.LeaderID })
	if i < 0 {
		return replica{}, fmt.Errorf("the quorum has no leader (leader id %d is no voter)", q.LeaderID)
	}
	return q.CurrentVoters[i], nil
}

func (q *quorum) printStatus(out io.Writer, clusterID string) error {
	leader, err := q.leader()
	if err != nil {
		return err
	}
	last := slices.MinFunc(q.CurrentVoters, func(a, b replica) int { return int(a.LogEndOffset - b.LogEndOffset) })
	lagMs := int64(-1)
	switch {
	case last.ReplicaID == leader.ReplicaID:
		lagMs = 0
	case leader.LastCaughtUpTimestamp >= 0 && last.LastCaughtUpTimestamp >= 0:
		lagMs = leader.LastCaughtUpTimestamp - last.LastCaughtUpTimestamp
	}
	_, err = fmt.Fprintf(out, "ClusterId:              %s\nLeaderId:               %d\nLeaderEpoch:            %d\nHighWatermark:          %d\nMaxFollowerLag:         %d\nMaxFollowerLagTimeMs:   %d\nCurrentVoters:          %s\nCurrentObservers:       %s\n",
		clusterID, q.LeaderID, q.LeaderEpoch, q.HighWatermark, leader.LogEndOffset-last.LogEndOffset, lagMs, q.describeAll(q.CurrentVoters), q.describeAll(q.Observers))
	return err
}

// describeAll writes members as JSON in brackets, as Kafka does.
func (q *quorum) describeAll(members []replica) string {
	var out []string
	for _, m := range members {
		id := "null"
		if m.ReplicaDirectoryID != ([16]byte{}) {
			id = `"` + uuid(m.ReplicaDirectoryID) + `"`
		}
		var at []string
		for _, n := range q.nodes {
			if n.NodeID != m.ReplicaID {
				continue
			}
			for _, l := range n.Listeners {
				at = append(at, fmt.Sprintf(`"%s://%s:%d"`, l.Name, l.Host, l.Port))
			}
		}
		text := fmt.Sprintf(`{"id": %d, "directoryId": %s`, m.ReplicaID, id)
		if len(at) > 0 {
			text += `, "endpoints": [` + strings.Join(at, ", ") + "]"
		}
		out = append(out, text+"}")
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func uuid(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func (q *quorum) printReplication(out io.Writer, human bool, now time.Time) error {
	leader, err := q.leader()
	if err != nil {
		return err
	}
	rows := [][]string{{"NodeId", "DirectoryId", "LogEndOffset", "Lag", "LastFetchTimestamp", "LastCaughtUpTimestamp", "Status"}}
	moment := func(ms int64) string {
		if ms < 0 || !human {
			return strconv.FormatInt(ms, 10)
		}
		return strconv.FormatInt(now.UnixMilli()-ms, 10) + " ms ago"
	}
	add := func(r replica, status string) {
		rows = append(rows, []string{strconv.Itoa(int(r.ReplicaID)), uuid(r.ReplicaDirectoryID), strconv.FormatInt(r.LogEndOffset, 10),
			strconv.FormatInt(leader.LogEndOffset-r.LogEndOffset, 10), moment(r.LastFetchTimestamp), moment(r.LastCaughtUpTimestamp), status})
	}
	add(leader, "Leader")
	for _, v := range q.CurrentVoters {
		if v.ReplicaID != leader.ReplicaID {
			add(v, "Follower")
		}
	}
	for _, o := range q.Observers {
		add(o, "Observer")
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			fmt.Fprintf(out, "%-*s\t", widths[i], cell)
		}
		fmt.Fprintln(out)
	}
	return nil
}
