package partitions

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/tools/cli"
)

const dirsExamples = `  # where everything lies and how large it is
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe

  # bytes of one topic on brokers 1 and 2
  {{.}} --bootstrap-server 127.0.0.1:9092 --describe --topic-list clicks --broker-list 1,2 | tail -1 | jq '[.. | .size? // empty] | add'`

// LogDirs returns kafka-log-dirs.sh; name is what the user calls it by.
func LogDirs(name string) *cobra.Command {
	var bootstrap, commandConfig, topicList, brokerList string
	var describe bool
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Show what lies in the log directories (kafka-log-dirs.sh)",
		Long:    "This tool helps to query log directory usage on the specified brokers.",
		Example: strings.ReplaceAll(dirsExamples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to (HOST:PORT,...).")
	f.BoolVar(&describe, "describe", false, "REQUIRED: Describe the log directories.")
	f.StringVar(&topicList, "topic-list", "", "Only these topics: \"topic1,topic2\".")
	f.StringVar(&brokerList, "broker-list", "", "Only these brokers: \"0,1,2\".")
	f.StringVar(&commandConfig, "command-config", "", "Property file with settings for the admin client.")
	_ = cmd.RegisterFlagCompletionFunc("topic-list", cli.CompleteTopics)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if bootstrap == "" {
			return cli.Missing("bootstrap-server")
		}
		if !describe {
			return cli.Missing("describe")
		}
		return cli.FailWith(cmd, describeDirs(cmd, bootstrap, commandConfig, list(topicList), list(brokerList)))
	}
	return cmd
}

// list splits at commas and leaves out what is empty.
func list(text string) []string {
	return slices.DeleteFunc(strings.Split(text, ","), func(w string) bool { return w == "" })
}

func describeDirs(cmd *cobra.Command, bootstrap, commandConfig string, topics, brokers []string) error {
	client, err := cli.Dial(cmd, bootstrap, commandConfig, "log-dirs-tool")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), requestTime)
	defer cancel()
	admin := kadm.NewClient(client)
	known, err := admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	ids, err := chooseBrokers(known.NodeIDs(), brokers)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, "Querying brokers for log directories information")
	progress := cli.NewProgress(cmd.ErrOrStderr(), "brokers queried")
	defer progress.Close()
	printed := printedDirs{Version: 1, Brokers: []printedBroker{}}
	for i, id := range ids {
		progress.Set(i, len(ids))
		dirs, err := admin.DescribeBrokerLogDirs(ctx, id, nil)
		if err != nil {
			return fmt.Errorf("broker %d: %w", id, err)
		}
		printed.Brokers = append(printed.Brokers, printBroker(id, dirs, topics))
	}
	progress.Close()
	fmt.Fprintf(out, "Received log directory information from brokers %s\n", cli.JoinIDs(ids, ","))
	text, err := json.Marshal(printed)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, string(text))
	return err
}

// chooseBrokers returns the ids to ask, sorted: all without a list.
func chooseBrokers(known []int32, wanted []string) ([]int32, error) {
	slices.Sort(known)
	if len(wanted) == 0 {
		return known, nil
	}
	var ids, unknown []int32
	for _, w := range wanted {
		n, err := strconv.ParseInt(strings.TrimSpace(w), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("For input string: \"%s\" (in --broker-list)", w)
		}
		if slices.Contains(known, int32(n)) {
			ids = append(ids, int32(n))
		} else {
			unknown = append(unknown, int32(n))
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("ERROR: The given brokers do not exist from --broker-list: %s. Current existent brokers: %s", cli.JoinIDs(unknown, ","), cli.JoinIDs(known, ","))
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// The printed JSON, with Kafka's names.
type (
	printedDirs struct {
		Version int             `json:"version"`
		Brokers []printedBroker `json:"brokers"`
	}
	printedBroker struct {
		Broker  int32        `json:"broker"`
		LogDirs []printedDir `json:"logDirs"`
	}
	printedDir struct {
		LogDir     string             `json:"logDir"`
		Error      *string            `json:"error"`
		Partitions []printedPartition `json:"partitions"`
	}
	printedPartition struct {
		Partition string `json:"partition"`
		Size      int64  `json:"size"`
		OffsetLag int64  `json:"offsetLag"`
		IsFuture  bool   `json:"isFuture"`
	}
)

func printBroker(id int32, dirs kadm.DescribedLogDirs, topics []string) printedBroker {
	b := printedBroker{Broker: id, LogDirs: []printedDir{}}
	for _, d := range dirs.Sorted() {
		dir := printedDir{LogDir: d.Dir, Partitions: []printedPartition{}}
		if d.Err != nil {
			class := cli.ExceptionName(d.Err)
			dir.Error = &class
		}
		all := d.Topics.Sorted()
		slices.SortFunc(all, func(a, b kadm.DescribedLogDirPartition) int {
			return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
		})
		for _, p := range all {
			if len(topics) == 0 || slices.Contains(topics, p.Topic) {
				name := cli.Partition{Topic: p.Topic, Index: p.Partition}
				dir.Partitions = append(dir.Partitions, printedPartition{name.String(), p.Size, p.OffsetLag, p.IsFuture})
			}
		}
		b.LogDirs = append(b.LogDirs, dir)
	}
	return b
}
