package cluster

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

const versionsExamples = `  # which requests each broker serves, in which versions
  {{.}} --bootstrap-server 127.0.0.1:9092`

// api is one request as Kafka 4.2 names it; max is the newest version that its clients
// speak, -1 when none do. Those that its clients miss in a broker are told.
type api struct {
	key    int16
	name   string
	max    int16
	client bool
}

// apis is the table of Kafka 4.2 (ApiKeys).
func apis() []api {
	return []api{
		{0, "Produce", 13, true}, {1, "Fetch", 18, true}, {2, "ListOffsets", 11, true}, {3, "Metadata", 13, true},
		{4, "LeaderAndIsr", -1, false}, {5, "StopReplica", -1, false}, {6, "UpdateMetadata", -1, false}, {7, "ControlledShutdown", -1, false},
		{8, "OffsetCommit", 10, true}, {9, "OffsetFetch", 10, true}, {10, "FindCoordinator", 6, true}, {11, "JoinGroup", 9, true},
		{12, "Heartbeat", 4, true}, {13, "LeaveGroup", 5, true}, {14, "SyncGroup", 5, true}, {15, "DescribeGroups", 6, true},
		{16, "ListGroups", 5, true}, {17, "SaslHandshake", 1, true}, {18, "ApiVersions", 4, true}, {19, "CreateTopics", 7, true},
		{20, "DeleteTopics", 6, true}, {21, "DeleteRecords", 2, true}, {22, "InitProducerId", 5, true}, {23, "OffsetForLeaderEpoch", 4, true},
		{24, "AddPartitionsToTxn", 5, true}, {25, "AddOffsetsToTxn", 4, true}, {26, "EndTxn", 5, true}, {27, "WriteTxnMarkers", 2, true},
		{28, "TxnOffsetCommit", 5, true}, {29, "DescribeAcls", 3, true}, {30, "CreateAcls", 3, true}, {31, "DeleteAcls", 3, true},
		{32, "DescribeConfigs", 4, true}, {33, "AlterConfigs", 2, true}, {34, "AlterReplicaLogDirs", 2, true}, {35, "DescribeLogDirs", 4, true},
		{36, "SaslAuthenticate", 2, true}, {37, "CreatePartitions", 3, true}, {38, "CreateDelegationToken", 3, true}, {39, "RenewDelegationToken", 2, true},
		{40, "ExpireDelegationToken", 2, true}, {41, "DescribeDelegationToken", 3, true}, {42, "DeleteGroups", 2, true}, {43, "ElectLeaders", 2, true},
		{44, "IncrementalAlterConfigs", 1, true}, {45, "AlterPartitionReassignments", 1, true}, {46, "ListPartitionReassignments", 0, true},
		{47, "OffsetDelete", 0, true}, {48, "DescribeClientQuotas", 1, true}, {49, "AlterClientQuotas", 1, true},
		{50, "DescribeUserScramCredentials", 0, true}, {51, "AlterUserScramCredentials", 0, true},
		{52, "Vote", 2, false}, {53, "BeginQuorumEpoch", 1, false}, {54, "EndQuorumEpoch", 1, false}, {55, "DescribeQuorum", 2, true},
		{56, "AlterPartition", 3, false}, {57, "UpdateFeatures", 2, true}, {58, "Envelope", 0, false}, {59, "FetchSnapshot", 1, false},
		{60, "DescribeCluster", 2, true}, {61, "DescribeProducers", 0, true}, {62, "BrokerRegistration", 4, false}, {63, "BrokerHeartbeat", 1, false},
		{64, "UnregisterBroker", 0, true}, {65, "DescribeTransactions", 0, true}, {66, "ListTransactions", 2, true}, {67, "AllocateProducerIds", 0, false},
		{68, "ConsumerGroupHeartbeat", 1, true}, {69, "ConsumerGroupDescribe", 1, true}, {70, "ControllerRegistration", 0, false},
		{71, "GetTelemetrySubscriptions", 0, true}, {72, "PushTelemetry", 0, true}, {73, "AssignReplicasToDirs", 0, false},
		{74, "ListConfigResources", 1, true}, {75, "DescribeTopicPartitions", 0, true}, {76, "ShareGroupHeartbeat", 1, true},
		{77, "ShareGroupDescribe", 1, true}, {78, "ShareFetch", 2, true}, {79, "ShareAcknowledge", 2, true}, {80, "AddRaftVoter", 1, true},
		{81, "RemoveRaftVoter", 0, true}, {82, "UpdateRaftVoter", 0, false}, {83, "InitializeShareGroupState", 0, true},
		{84, "ReadShareGroupState", 0, true}, {85, "WriteShareGroupState", 1, true}, {86, "DeleteShareGroupState", 0, true},
		{87, "ReadShareGroupStateSummary", 1, true}, {88, "StreamsGroupHeartbeat", 0, true}, {89, "StreamsGroupDescribe", 0, true},
		{90, "DescribeShareGroupOffsets", 1, true}, {91, "AlterShareGroupOffsets", 0, true}, {92, "DeleteShareGroupOffsets", 0, true},
	}
}

// ApiVersions returns kafka-broker-api-versions.sh; name is what the user calls it by.
func ApiVersions(name string) *cobra.Command {
	c := &connection{}
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Show which requests brokers serve (kafka-broker-api-versions.sh)",
		Long:    "This tool helps to retrieve broker version information.",
		Example: strings.ReplaceAll(versionsExamples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&c.server, "bootstrap-server", "", "REQUIRED: The server to connect to (HOST:PORT,...).")
	f.StringVar(&c.config, "command-config", "", "Property file with settings for the admin client.")
	run := c.with(showVersions)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if c.server == "" {
			return cli.Missing("bootstrap-server")
		}
		return run(cmd, args)
	}
	return cmd
}

func showVersions(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
	d, err := describeCluster(ctx, client, false, false)
	if err != nil {
		return err
	}
	slices.SortFunc(d.Brokers, func(a, b kmsg.DescribeClusterResponseBroker) int { return cmp.Compare(a.NodeID, b.NodeID) })
	for _, b := range d.Brokers {
		node := fmt.Sprintf("%s (id: %d rack: %s isFenced: %t)", net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), b.NodeID, rackOf(b.Rack), b.IsFenced)
		resp, err := versionsOf(ctx, client, b.NodeID)
		if err != nil {
			fmt.Fprintf(cmd.OutOrStdout(), "%s -> ERROR: %s\n", node, cli.ErrorText(err))
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s -> (\n\t%s\n)\n", node, strings.Join(versionLines(resp.ApiKeys), ",\n\t"))
	}
	return nil
}

func versionsOf(ctx context.Context, client *kgo.Client, broker int32) (*kmsg.ApiVersionsResponse, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "millrace-tools", "1"
	resp, err := req.RequestWith(ctx, client.Broker(int(broker)))
	if err != nil {
		return nil, err
	}
	return resp, cli.NewBrokerError(resp.ErrorCode, nil)
}

// versionLines writes what a broker serves, by key, with what Kafka's clients use of it.
func versionLines(served []kmsg.ApiVersionsResponseApiKey) []string {
	lines := map[int16]string{}
	for _, a := range apis() {
		if a.client {
			lines[a.key] = fmt.Sprintf("%s(%d): UNSUPPORTED", a.name, a.key)
		}
	}
	known := apis()
	for _, s := range served {
		i := slices.IndexFunc(known, func(a api) bool { return a.key == s.ApiKey })
		versions := strconv.Itoa(int(s.MinVersion))
		if s.MaxVersion != s.MinVersion {
			versions += " to " + strconv.Itoa(int(s.MaxVersion))
		}
		switch {
		case i < 0:
			lines[s.ApiKey] = fmt.Sprintf("UNKNOWN(%d): %s", s.ApiKey, versions)
		case known[i].max < 0:
			lines[s.ApiKey] = fmt.Sprintf("%s(%d): %s [unusable: node too old]", known[i].name, s.ApiKey, versions)
		case known[i].max < s.MinVersion:
			lines[s.ApiKey] = fmt.Sprintf("%s(%d): %s [unusable: node too new]", known[i].name, s.ApiKey, versions)
		default:
			lines[s.ApiKey] = fmt.Sprintf("%s(%d): %s [usable: %d]", known[i].name, s.ApiKey, versions, min(known[i].max, s.MaxVersion))
		}
	}
	keys := make([]int16, 0, len(lines))
	for key := range lines {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	out := make([]string, len(keys))
	for i, key := range keys {
		out[i] = lines[key]
	}
	return out
}
