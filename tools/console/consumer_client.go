package console

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/tools/cli"
)

const knownConsumerProps = "group.id auto.offset.reset enable.auto.commit auto.commit.interval.ms isolation.level allow.auto.create.topics " +
	"fetch.min.bytes fetch.max.bytes fetch.max.wait.ms max.partition.fetch.bytes client.rack session.timeout.ms heartbeat.interval.ms " +
	"metadata.max.age.ms group.instance.id"

// clientOptions builds the client: directly assigned partitions without a group (Kafka's
// tool makes a throw-away group there and commits nothing, which reads the same records).
func (o *consumerOptions) clientOptions(cmd *cobra.Command, start int64) ([]kgo.Opt, string, error) {
	props, err := cli.LoadProps(o.config)
	if err != nil {
		return nil, "", err
	}
	fromFile := props["group.id"]
	props.AddPairs(o.clientProps)
	group, err := o.groupOf(cmd, props, fromFile)
	if err != nil {
		return nil, "", err
	}
	opts, err := cli.ClientOptions(o.bootstrap, "console-consumer", props, cmd.ErrOrStderr())
	if err != nil {
		return nil, "", err
	}
	reset, err := o.resetOffset(props)
	if err != nil {
		return nil, "", err
	}
	opts = append(opts, kgo.ConsumeResetOffset(reset))
	more, err := fetchOptions(cmd, o, props)
	if err != nil {
		return nil, "", err
	}
	opts = append(opts, more...)
	if group != "" {
		opts = append(opts, groupOptions(group, props)...)
	}
	target, err := o.target(cmd, start, props)
	if err != nil {
		return nil, "", err
	}
	warnUnused(cmd, props, knownConsumerProps)
	return append(opts, target...), group, nil
}

// target says what is consumed.
func (o *consumerOptions) target(cmd *cobra.Command, start int64, props cli.Props) ([]kgo.Opt, error) {
	if o.include != "" {
		if _, err := cli.NewTopicFilter(o.include); err != nil {
			return nil, err
		}
		return []kgo.Opt{kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:" + cli.FilterExpression(o.include) + ")$")}, nil
	}
	var opts []kgo.Opt
	if props.Or("allow.auto.create.topics", "true") != "false" {
		opts = append(opts, kgo.AllowAutoTopicCreation())
	}
	if !cmd.Flags().Changed("partition") {
		return append(opts, kgo.ConsumeTopics(o.topic)), nil
	}
	at := kgo.NewOffset().At(start)
	switch start {
	case fromEarliest:
		at = kgo.NewOffset().AtStart()
	case fromLatest:
		at = kgo.NewOffset().AtEnd()
	}
	return append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.topic: {int32(o.partition): at}})), nil
}

// groupOf finds the one group id that was given.
func (o *consumerOptions) groupOf(cmd *cobra.Command, props cli.Props, fromFile string) (string, error) {
	group := ""
	for _, g := range []string{o.group, fromFile, props["group.id"]} {
		if g == "" || g == group {
			continue
		}
		if group != "" {
			return "", cli.Usagef("The group ids provided in different places (directly using '--group', via '--command-property', or via '--command-config') do not match. Detected group ids: '%s', '%s'", group, g)
		}
		group = g
	}
	if group != "" && cmd.Flags().Changed("partition") {
		return "", cli.Usagef("Options group and partition cannot be specified together.")
	}
	return group, nil
}

// resetOffset is where a partition without a valid position starts.
func (o *consumerOptions) resetOffset(props cli.Props) (kgo.Offset, error) {
	policy, set := props["auto.offset.reset"]
	if o.fromBeginning {
		if set && policy != "earliest" {
			return kgo.Offset{}, cli.Usagef("Can't simultaneously specify --from-beginning and 'auto.offset.reset=%s', please remove one option", policy)
		}
		policy = "earliest"
	}
	switch policy {
	case "earliest":
		return kgo.NewOffset().AtStart(), nil
	case "", "latest":
		return kgo.NewOffset().AtEnd(), nil
	case "none":
		return kgo.NoResetOffset(), nil
	}
	return kgo.Offset{}, cli.Usagef("Invalid value %s for configuration auto.offset.reset: must be latest, earliest or none", policy)
}

func fetchOptions(cmd *cobra.Command, o *consumerOptions, props cli.Props) ([]kgo.Opt, error) {
	isolation := o.isolation
	if !cmd.Flags().Changed("isolation-level") {
		isolation = props.Or("isolation.level", isolation)
	}
	level := kgo.ReadUncommitted()
	switch strings.ToLower(isolation) {
	case "read_committed":
		level = kgo.ReadCommitted()
	case "read_uncommitted":
	default:
		return nil, cli.Usagef("Invalid value %s for configuration isolation.level: String must be one of: read_committed, read_uncommitted", isolation)
	}
	ms := &msReader{}
	opts := []kgo.Opt{
		kgo.FetchIsolationLevel(level),
		kgo.FetchMinBytes(int32(ms.number("fetch.min.bytes", props.Or("fetch.min.bytes", "1")))),
		kgo.FetchMaxBytes(int32(ms.number("fetch.max.bytes", props.Or("fetch.max.bytes", "52428800")))),
		kgo.FetchMaxPartitionBytes(int32(ms.number("max.partition.fetch.bytes", props.Or("max.partition.fetch.bytes", "1048576")))),
		kgo.FetchMaxWait(ms.duration("fetch.max.wait.ms", props.Or("fetch.max.wait.ms", "500"))),
		kgo.MetadataMaxAge(ms.duration("metadata.max.age.ms", props.Or("metadata.max.age.ms", "300000"))),
		kgo.Rack(props["client.rack"]),
	}
	return opts, ms.err
}

func groupOptions(group string, props cli.Props) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(group),
		kgo.AutoCommitMarks(),
		kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer()),
	}
	if strings.EqualFold(props.Or("enable.auto.commit", "true"), "false") {
		opts = append(opts, kgo.DisableAutoCommit())
	}
	if id := props["group.instance.id"]; id != "" {
		opts = append(opts, kgo.InstanceID(id))
	}
	ms := &msReader{}
	if v, ok := props["session.timeout.ms"]; ok {
		opts = append(opts, kgo.SessionTimeout(ms.duration("session.timeout.ms", v)))
	}
	if v, ok := props["heartbeat.interval.ms"]; ok {
		opts = append(opts, kgo.HeartbeatInterval(ms.duration("heartbeat.interval.ms", v)))
	}
	if v, ok := props["auto.commit.interval.ms"]; ok {
		opts = append(opts, kgo.AutoCommitInterval(max(ms.duration("auto.commit.interval.ms", v), 100*time.Millisecond)))
	}
	return opts
}

// fatal says whether waiting cannot help.
func fatal(err error) bool {
	var loss *kgo.ErrDataLoss
	if errors.As(err, &loss) {
		return false
	}
	var k *kerr.Error
	if !errors.As(err, &k) {
		return errors.Is(err, kgo.ErrClientClosed)
	}
	return !k.Retriable && !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.UnknownTopicID)
}
