package partitions

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace/millrace/tools/cli"
)

const recordsExamples = `  # forget all records of clicks-0 below offset 1000, and all that clicks-1 holds
  echo '{"partitions": [{"topic": "clicks", "partition": 0, "offset": 1000},
                        {"topic": "clicks", "partition": 1, "offset": -1}], "version": 1}' > offsets.json
  {{.}} --bootstrap-server 127.0.0.1:9092 --offset-json-file offsets.json`

// DeleteRecords returns kafka-delete-records.sh; name is what the user calls it by.
func DeleteRecords(name string) *cobra.Command {
	var bootstrap, commandConfig, file string
	cmd := &cobra.Command{
		Use:     name,
		Short:   "Delete records below an offset (kafka-delete-records.sh)",
		Long:    "This tool helps to delete records of the given partitions down to the specified offset.",
		Example: strings.ReplaceAll(recordsExamples, "{{.}}", cli.Called(name)),
	}
	cli.Prepare(cmd)
	f := cmd.Flags()
	f.StringVar(&bootstrap, "bootstrap-server", "", "REQUIRED: The server(s) to connect to (HOST:PORT,...).")
	f.StringVar(&file, "offset-json-file", "", "REQUIRED: File of the form {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1, \"offset\": 1}], \"version\": 1}. Offset -1 is the end.")
	f.StringVar(&commandConfig, "command-config", "", "Property file with settings for the admin client.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if bootstrap == "" {
			return cli.Missing("bootstrap-server")
		}
		if file == "" {
			return cli.Missing("offset-json-file")
		}
		return cli.FailWith(cmd, deleteRecords(cmd, bootstrap, commandConfig, file))
	}
	return cmd
}

func deleteRecords(cmd *cobra.Command, bootstrap, commandConfig, file string) error {
	offsets, order, err := readOffsets(file)
	if err != nil {
		return err
	}
	client, err := cli.Dial(cmd, bootstrap, commandConfig, "adminclient-1")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), requestTime)
	defer cancel()
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, "Executing records delete operation")
	answers, err := kadm.NewClient(client).DeleteRecords(ctx, offsets)
	if err != nil && len(answers) == 0 {
		return err
	}
	fmt.Fprintln(out, "Records delete operation completed:")
	for _, p := range order {
		switch a, ok := answers.Lookup(p.Topic, p.Index); {
		case !ok:
			fmt.Fprintf(out, "partition: %s\terror: %s\n", p, "no broker answered for it")
		case a.Err != nil:
			fmt.Fprintf(out, "partition: %s\terror: %s\n", p, cli.ErrorLine(a.Err))
		default:
			fmt.Fprintf(out, "partition: %s\tlow_watermark: %d\n", p, a.LowWatermark)
		}
	}
	return nil
}

// jsonPartition is one element of "partitions" in the files of these tools.
type jsonPartition struct {
	Topic     *string `json:"topic"`
	Partition *int32  `json:"partition"`
	Offset    *int64  `json:"offset"`
}

// readPartitions reads a file with a list of partitions; version 1 is the only one.
func readPartitions(file string) ([]jsonPartition, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var content struct {
		Version    *int             `json:"version"`
		Partitions *[]jsonPartition `json:"partitions"`
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("The input string is not a valid JSON: %s: %w", file, err)
	}
	switch {
	case content.Version != nil && *content.Version != 1:
		return nil, fmt.Errorf("Not supported version field value %d", *content.Version)
	case content.Partitions == nil:
		return nil, fmt.Errorf("Missing partitions field")
	}
	for i, p := range *content.Partitions {
		if p.Topic == nil || p.Partition == nil {
			return nil, fmt.Errorf("%s: element %d of \"partitions\" has no \"topic\" or no \"partition\"", file, i)
		}
	}
	return *content.Partitions, nil
}

func readOffsets(file string) (kadm.Offsets, []cli.Partition, error) {
	list, err := readPartitions(file)
	if err != nil {
		return nil, nil, err
	}
	offsets := kadm.Offsets{}
	var order, twice []cli.Partition
	for i, p := range list {
		if p.Offset == nil {
			return nil, nil, fmt.Errorf("%s: element %d of \"partitions\" has no \"offset\"", file, i)
		}
		at := cli.Partition{Topic: *p.Topic, Index: *p.Partition}
		if _, seen := offsets.Lookup(at.Topic, at.Index); seen {
			twice = append(twice, at)
		}
		offsets.Add(kadm.Offset{Topic: at.Topic, Partition: at.Index, At: *p.Offset, LeaderEpoch: -1})
		order = append(order, at)
	}
	if len(twice) > 0 {
		return nil, nil, fmt.Errorf("Offset json file contains duplicate topic partitions: %s", cli.JoinPartitions(twice, ","))
	}
	slices.SortFunc(order, cli.ComparePartitions)
	return offsets, order, nil
}
