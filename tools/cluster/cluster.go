package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

// requestTime bounds the work of these tools after the cluster was reached.
const requestTime = 30 * time.Second

const clusterExamples = `  # which cluster is this; which brokers has it
  {{.}} cluster-id --bootstrap-server 127.0.0.1:9092
  {{.}} list-endpoints --bootstrap-server 127.0.0.1:9092

  # forget a broker that will not come back
  {{.}} unregister --bootstrap-server 127.0.0.1:9092 --id 3`

// connection are the flags that say which cluster is meant.
type connection struct {
	server, controller, config string
}

func (c *connection) register(f *pflag.FlagSet, config, short string) {
	f.StringVarP(&c.server, "bootstrap-server", letter(short, "b"), "", "REQUIRED: The server(s) to connect to (HOST:PORT,...).")
	f.StringVarP(&c.controller, "bootstrap-controller", letter(short, "C"), "", "The controller(s) to connect to, instead of --bootstrap-server.")
	f.StringVarP(&c.config, config, letter(short, "c"), "", "Property file with settings for the admin client.")
}

// letter is the short form of a flag, in the tools that have short forms.
func letter(have, l string) string {
	if have == "" {
		return ""
	}
	return l
}

// with runs do with a client of the cluster.
func (c *connection) with(do func(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		at := cmp.Or(c.server, c.controller)
		switch {
		case at == "":
			return cli.Usagef("one of the arguments --bootstrap-server --bootstrap-controller is required")
		case c.server != "" && c.controller != "":
			return cli.Usagef("argument --bootstrap-controller: not allowed with argument --bootstrap-server")
		}
		return cli.FailWith(cmd, func() error {
			client, err := cli.Dial(cmd, at, c.config, "adminclient-1")
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), requestTime)
			defer cancel()
			return do(ctx, cmd, client)
		}())
	}
}

// Command returns kafka-cluster.sh; name is what the user calls it by.
func Command(name string) *cobra.Command {
	c := &connection{}
	var id int32
	var fenced bool
	identity := &cobra.Command{Use: "cluster-id", Short: "Get information about the ID of a cluster."}
	unregister := &cobra.Command{Use: "unregister", Short: "Unregister a broker."}
	endpoints := &cobra.Command{Use: "list-endpoints", Short: "List the endpoints of a cluster."}
	unregister.Flags().Int32VarP(&id, "id", "i", 0, "REQUIRED: The ID of the broker to unregister.")
	endpoints.Flags().BoolVar(&fenced, "include-fenced-brokers", false, "Brokers that do not serve, too.")
	root := cli.Commands(&cobra.Command{Use: name, Short: "Identity and brokers of a cluster (kafka-cluster.sh)", Long: "The Kafka cluster tool.", Example: clusterExamples}, identity, unregister, endpoints)
	c.register(root.PersistentFlags(), "config", "short")
	root.PersistentFlags().StringVar(&c.config, "command-config", "", "Another name of --config.")
	identity.RunE = c.with(func(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
		return clusterID(ctx, cmd, client)
	})
	unregister.RunE = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed("id") {
			return cli.Usagef("argument --id/-i is required")
		}
		return c.with(func(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
			return unregisterBroker(ctx, cmd, client, id)
		})(cmd, args)
	}
	endpoints.RunE = c.with(func(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
		return listEndpoints(ctx, cmd, client, c.controller != "", fenced)
	})
	return root
}

// describeCluster asks by DescribeCluster, and by Metadata where that is not served.
func describeCluster(ctx context.Context, client *kgo.Client, controllers, fenced bool) (*kmsg.DescribeClusterResponse, error) {
	if cli.Serves(ctx, client, kmsg.DescribeCluster, 0) {
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeFencedBrokers = fenced
		if controllers {
			req.EndpointType = 2
		}
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return nil, err
		}
		return resp, cli.NewBrokerError(resp.ErrorCode, resp.ErrorMessage)
	}
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	out := kmsg.NewPtrDescribeClusterResponse()
	if resp.ClusterID != nil {
		out.ClusterID = *resp.ClusterID
	}
	for _, b := range resp.Brokers {
		n := kmsg.NewDescribeClusterResponseBroker()
		n.NodeID, n.Host, n.Port, n.Rack = b.NodeID, b.Host, b.Port, b.Rack
		out.Brokers = append(out.Brokers, n)
	}
	return out, nil
}

func clusterID(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
	d, err := describeCluster(ctx, client, false, false)
	if err != nil {
		return err
	}
	if d.ClusterID == "" {
		fmt.Fprintln(cmd.OutOrStdout(), "No cluster ID found. The Kafka version is probably too old.")
		return nil
	}
	fmt.Fprintln(cmd.OutOrStdout(), "Cluster ID:", d.ClusterID)
	return nil
}

func unregisterBroker(ctx context.Context, cmd *cobra.Command, client *kgo.Client, id int32) error {
	if !cli.Serves(ctx, client, kmsg.UnregisterBroker, 0) {
		fmt.Fprintln(cmd.OutOrStdout(), "The target cluster does not support the broker unregistration API.")
		return nil
	}
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = id
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if err := cli.NewBrokerError(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Broker %d is no longer registered.\n", id)
	return nil
}

func listEndpoints(ctx context.Context, cmd *cobra.Command, client *kgo.Client, controllers, fenced bool) error {
	if fenced && !cli.Serves(ctx, client, kmsg.DescribeCluster, 2) {
		return errors.New("Including fenced broker endpoints is not supported with version 1")
	}
	d, err := describeCluster(ctx, client, controllers, fenced)
	if err != nil {
		return err
	}
	slices.SortFunc(d.Brokers, func(a, b kmsg.DescribeClusterResponseBroker) int { return cmp.Compare(a.NodeID, b.NodeID) })
	host, rack := 0, 0
	for _, b := range d.Brokers {
		host = max(host, len(b.Host))
		if b.Rack != nil {
			rack = max(rack, len(*b.Rack))
		}
	}
	if rack == 0 {
		rack = 10
	}
	line := func(id, h, port, r, state, kind string) {
		fmt.Fprintf(cmd.OutOrStdout(), "%-10s %-*s %-10s %-*s ", id, host, h, port, rack, r)
		if !controllers {
			fmt.Fprintf(cmd.OutOrStdout(), "%-10s ", state)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%-15s\n", kind)
	}
	line("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE")
	for _, b := range d.Brokers {
		line(strconv.Itoa(int(b.NodeID)), b.Host, strconv.Itoa(int(b.Port)), rackOf(b.Rack),
			map[bool]string{true: "fenced", false: "unfenced"}[b.IsFenced], map[bool]string{true: "controller", false: "broker"}[controllers])
	}
	return nil
}

// rackOf writes no rack as Java does.
func rackOf(rack *string) string {
	if rack == nil {
		return "null"
	}
	return *rack
}
