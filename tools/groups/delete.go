package groups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/tools/cli"
)

// delete is --delete.
func (r *runner) delete(ctx context.Context) error {
	names, err := r.named(ctx)
	if err != nil {
		return err
	}
	var deleted, failed []string
	if len(names) > 0 {
		answers, err := r.admin.DeleteGroups(ctx, names...)
		if err != nil && len(answers) == 0 {
			return shardError(err)
		}
		for _, name := range names {
			switch a, ok := answers[name]; {
			case !ok:
				failed = append(failed, fmt.Sprintf("* Group '%s' could not be deleted due to: %s", name, cli.ErrorLine(shardError(err))))
			case a.Err != nil:
				failed = append(failed, fmt.Sprintf("* Group '%s' could not be deleted due to: %s", name, cli.ErrorLine(a.Err)))
			default:
				deleted = append(deleted, "'"+name+"'")
			}
		}
	}
	if len(failed) == 0 {
		fmt.Fprintf(r.out, "Deletion of requested consumer groups (%s) was successful.\n", strings.Join(deleted, ", "))
		return nil
	}
	printError(r.out, "Deletion of some consumer groups failed:")
	fmt.Fprintln(r.out, strings.Join(failed, "\n"))
	if len(deleted) > 0 {
		fmt.Fprintf(r.out, "\nThese consumer groups were deleted successfully: %s\n", strings.Join(deleted, ", "))
	}
	return nil
}

// deleteOffsets is --delete-offsets, of the first group that was named, as in Kafka.
func (r *runner) deleteOffsets(ctx context.Context) error {
	partitions, unknown, err := r.partitionsOf(ctx, r.o.topics)
	if err != nil {
		return err
	}
	results := map[cli.Partition]error{}
	for topic, err := range unknown {
		results[cli.Partition{Topic: topic, Index: -1}] = err
	}
	set := kadm.TopicsSet{}
	for _, p := range partitions {
		set.Add(p.Topic, p.Index)
	}
	group := r.o.groups[0]
	var top error
	if len(set) > 0 {
		answers, err := r.admin.DeleteOffsets(ctx, group, set)
		if err != nil && !cli.IsProtocol(err) {
			return err
		}
		top = err
		for _, p := range partitions {
			result, ok := answers.Lookup(p.Topic, p.Index)
			if !ok {
				result = err
			}
			results[p] = result
			if top == nil && result != nil {
				top = result
			}
		}
	}
	r.tellDeleted(group, top)
	r.printDeleted(results)
	return nil
}

func (r *runner) tellDeleted(group string, top error) {
	var k *kerr.Error
	switch {
	case top == nil:
		fmt.Fprintf(r.out, "Request succeeded for deleting offsets from group %s.\n", group)
	case errors.Is(top, kerr.InvalidGroupID), errors.Is(top, kerr.GroupIDNotFound), errors.Is(top, kerr.GroupAuthorizationFailed), errors.Is(top, kerr.NonEmptyGroup):
		printError(r.out, cli.ErrorText(top))
	case errors.Is(top, kerr.GroupSubscribedToTopic), errors.Is(top, kerr.TopicAuthorizationFailed), errors.Is(top, kerr.UnknownTopicOrPartition):
		printError(r.out, "Encountered some partition-level error, see the follow-up details.")
	case errors.As(top, &k):
		printError(r.out, "Encountered some unknown error: "+k.Message)
	default:
		printError(r.out, "Encountered some unknown error: "+top.Error())
	}
}

func (r *runner) printDeleted(results map[cli.Partition]error) {
	width := 15
	rows := make([]cli.Partition, 0, len(results))
	for p := range results {
		width = max(width, len(p.Topic))
		rows = append(rows, p)
	}
	slices.SortFunc(rows, cli.ComparePartitions)
	fmt.Fprintf(r.out, "\n%-*s %-10s %-15s", width, "TOPIC", "PARTITION", "STATUS")
	for _, p := range rows {
		id, status := strconv.Itoa(int(p.Index)), "Successful"
		if p.Index < 0 {
			id = missing
		}
		if err := results[p]; err != nil {
			status = "Error: " + cli.ErrorText(err)
		}
		fmt.Fprintf(r.out, "\n%-*s %-10s %-15s", width, p.Topic, id, status)
	}
	fmt.Fprintln(r.out)
}

// partitionsOf resolves words of --topic: "clicks" is all its partitions, "clicks:0,1" those.
// Topics that do not exist come back apart.
func (r *runner) partitionsOf(ctx context.Context, words []string) (partitions []cli.Partition, unknown map[string]error, err error) {
	var whole []string
	for _, w := range words {
		if !strings.Contains(w, ":") {
			whole = append(whole, w)
			continue
		}
		some, err := cli.SplitPartitions(w)
		if err != nil {
			return nil, nil, err
		}
		partitions = append(partitions, some...)
	}
	unknown = map[string]error{}
	if len(whole) > 0 {
		topics, err := r.admin.ListTopicsWithInternal(ctx, whole...)
		if err != nil {
			return nil, nil, err
		}
		for _, t := range topics {
			if t.Err != nil {
				unknown[t.Topic] = t.Err
			}
			for p := range t.Partitions {
				partitions = append(partitions, cli.Partition{Topic: t.Topic, Index: p})
			}
		}
	}
	slices.SortFunc(partitions, cli.ComparePartitions)
	return slices.Compact(partitions), unknown, nil
}
