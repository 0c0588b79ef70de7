package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli"
)

const featuresExamples = `  # which features the cluster has, and at which level
  {{.}} --bootstrap-server 127.0.0.1:9092 describe

  # raise one, first only asking whether it would go
  {{.}} --bootstrap-server 127.0.0.1:9092 upgrade --feature group.version=1 --dry-run`

// metadataVersion is the feature whose levels have names of releases.
const metadataVersion = "metadata.version"

// levelNames are the names of the levels of metadata.version from 1 on (MetadataVersion).
func levelNames() []string {
	return []string{"3.0-IV1", "3.1-IV0", "3.2-IV0", "3.3-IV0", "3.3-IV1", "3.3-IV2", "3.3-IV3", "3.4-IV0", "3.5-IV0", "3.5-IV1", "3.5-IV2",
		"3.6-IV0", "3.6-IV1", "3.6-IV2", "3.7-IV0", "3.7-IV1", "3.7-IV2", "3.7-IV3", "3.7-IV4", "3.8-IV0", "3.9-IV0",
		"4.0-IV0", "4.0-IV1", "4.0-IV2", "4.0-IV3", "4.1-IV0", "4.1-IV1", "4.2-IV0", "4.2-IV1"}
}

func levelName(feature string, level int16) string {
	if feature != metadataVersion {
		return strconv.Itoa(int(level))
	}
	if names := levelNames(); level >= 1 && int(level) <= len(names) {
		return names[level-1]
	}
	return fmt.Sprintf("UNKNOWN %d", level)
}

// How UpdateFeatures may change a level.
const (
	upgradeOnly     = 1
	safeDowngrade   = 2
	unsafeDowngrade = 3
)

type featureOptions struct {
	connection
	features       []string
	metadata       string
	unsafe, dryRun bool
}

// Features returns kafka-features.sh; name is what the user calls it by.
func Features(name string) *cobra.Command {
	o := &featureOptions{}
	describe := &cobra.Command{Use: "describe", Short: "Describes the current active feature flags."}
	words := []*cobra.Command{describe}
	for _, w := range []struct{ word, short string }{{"upgrade", "Upgrade one or more feature flags."}, {"downgrade", "Downgrade one or more feature flags."}, {"disable", "Disable one or more feature flags: level 0."}} {
		c := &cobra.Command{Use: w.word, Short: w.short}
		form := "FEATURE=LEVEL"
		if w.word == "disable" {
			form = "FEATURE"
		} else {
			c.Flags().StringVar(&o.metadata, "metadata", "", "The release of metadata.version, as 3.9-IV0.")
		}
		c.Flags().StringArrayVar(&o.features, "feature", nil, form+"; may be repeated.")
		if w.word != "upgrade" {
			c.Flags().BoolVar(&o.unsafe, "unsafe", false, "Also where metadata may be lost.")
		}
		c.Flags().BoolVar(&o.dryRun, "dry-run", false, "Only ask whether it would go.")
		c.RunE = o.with(func(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
			updates, err := o.updates(w.word)
			if err != nil {
				return err
			}
			return o.update(ctx, cmd, client, w.word, updates)
		})
		words = append(words, c)
	}
	root := cli.Commands(&cobra.Command{Use: name, Short: "Features of a cluster and their levels (kafka-features.sh)", Long: "This tool manages feature flags in Kafka.", Example: featuresExamples}, words...)
	o.register(root.PersistentFlags(), "command-config", "")
	describe.RunE = o.with(describeFeatures)
	return root
}

func describeFeatures(ctx context.Context, cmd *cobra.Command, client *kgo.Client) error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "millrace-tools", "1"
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if err := cli.NewBrokerError(resp.ErrorCode, nil); err != nil {
		return err
	}
	slices.SortFunc(resp.SupportedFeatures, func(a, b kmsg.ApiVersionsResponseSupportedFeature) int { return cmp.Compare(a.Name, b.Name) })
	epoch := "-"
	if resp.FinalizedFeaturesEpoch >= 0 {
		epoch = strconv.FormatInt(resp.FinalizedFeaturesEpoch, 10)
	}
	for _, f := range resp.SupportedFeatures {
		level := int16(0)
		for _, final := range resp.FinalizedFeatures {
			if final.Name == f.Name {
				level = final.MaxVersionLevel
			}
		}
		fmt.Fprintf(cmd.OutOrStdout(), "Feature: %s\tSupportedMinVersion: %s\tSupportedMaxVersion: %s\tFinalizedVersionLevel: %s\tEpoch: %s\n",
			f.Name, levelName(f.Name, f.MinVersion), levelName(f.Name, f.MaxVersion), levelName(f.Name, level), epoch)
	}
	return nil
}

// updates reads what the flags ask for.
func (o *featureOptions) updates(word string) ([]kadm.FeatureUpdate, error) {
	how := int8(upgradeOnly)
	if word != "upgrade" {
		how = safeDowngrade
		if o.unsafe {
			how = unsafeDowngrade
		}
	}
	var out []kadm.FeatureUpdate
	add := func(name string, level int16) error {
		if slices.ContainsFunc(out, func(u kadm.FeatureUpdate) bool { return u.Feature == name }) {
			return fmt.Errorf("Feature %s was specified more than once.", name)
		}
		out = append(out, kadm.FeatureUpdate{Feature: name, MaxVersionLevel: level, UpgradeType: how})
		return nil
	}
	if o.metadata != "" {
		level := slices.Index(levelNames(), o.metadata) + 1
		if level == 0 {
			return nil, fmt.Errorf("Unknown metadata.version %s. Supported metadata.version are %s", o.metadata, strings.Join(levelNames(), ", "))
		}
		if err := add(metadataVersion, int16(level)); err != nil {
			return nil, err
		}
	}
	for _, f := range o.features {
		name, text, ok := strings.Cut(f, "=")
		level := int64(0)
		if word != "disable" {
			if !ok {
				return nil, fmt.Errorf("Can't parse feature=level string %s: equals sign not found.", f)
			}
			var err error
			if level, err = strconv.ParseInt(strings.TrimSpace(text), 10, 16); err != nil {
				return nil, fmt.Errorf("Can't parse feature=level string %s: unable to parse %s as a short.", f, strings.TrimSpace(text))
			}
		}
		if err := add(strings.TrimSpace(name), int16(level)); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("You must specify at least one feature to %s", word)
	}
	slices.SortFunc(out, func(a, b kadm.FeatureUpdate) int { return strings.Compare(a.Feature, b.Feature) })
	return out, nil
}

func (o *featureOptions) update(ctx context.Context, cmd *cobra.Command, client *kgo.Client, word string, updates []kadm.FeatureUpdate) error {
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.ValidateOnly = o.dryRun
	for _, u := range updates {
		f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		f.Feature, f.MaxVersionLevel, f.UpgradeType = u.Feature, u.MaxVersionLevel, u.UpgradeType
		f.AllowDowngrade = u.UpgradeType != upgradeOnly
		req.FeatureUpdates = append(req.FeatureUpdates, f)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	// Since version 2 a failure of one is the failure of all.
	top := cli.NewBrokerError(resp.ErrorCode, resp.ErrorMessage)
	results := map[string]error{}
	for _, r := range resp.Results {
		results[r.Feature] = cli.NewBrokerError(r.ErrorCode, r.ErrorMessage)
	}
	failed := 0
	for _, u := range updates {
		what := fmt.Sprintf("%s %s to %d", word, u.Feature, u.MaxVersionLevel)
		done := fmt.Sprintf("%sd to %d.", word, u.MaxVersionLevel)
		if word == "disable" {
			what, done = "disable "+u.Feature, "disabled."
		}
		if err := cmp.Or(results[u.Feature], top); err != nil {
			failed++
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s. %s\n", map[bool]string{true: "Can not", false: "Could not"}[o.dryRun], what, cli.ErrorText(err))
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s\n", u.Feature, map[bool]string{true: "can be", false: "was"}[o.dryRun], done)
	}
	if failed > 0 {
		return errors.New(strconv.Itoa(failed) + " out of " + strconv.Itoa(len(updates)) + " operation(s) failed.")
	}
	return nil
}
