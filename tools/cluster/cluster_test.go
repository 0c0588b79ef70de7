package cluster

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/tools/cli/clitest"
)

func script(t *testing.T, name, at string, tool func(string) *cobra.Command) {
	t.Helper()
	_, port, _ := strings.Cut(at, ":")
	clitest.Script(t, name, strings.NewReplacer(port, "19092"), func(words ...string) clitest.Result {
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "HOST", at)
		}
		return clitest.Run(t.Context(), tool("kafka-tool.sh"), "", words...)
	})
}

// serve makes the cluster answer a request that kfake does not know.
func serve(c *kfake.Cluster, key kmsg.Key, answer func(kmsg.Request) kmsg.Response) {
	c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return answer(req), nil, true
	})
}

// versions answers ApiVersions with these keys and features.
func versions(c *kfake.Cluster, keys map[int16][2]int16, features func(*kmsg.ApiVersionsResponse)) {
	c.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		for key, v := range keys {
			resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MinVersion: v[0], MaxVersion: v[1]})
		}
		if features != nil {
			features(resp)
		}
		return resp, nil, true
	})
}

func TestScriptOfACluster(t *testing.T) {
	_, at := clitest.Cluster(t, kfake.NumBrokers(1), kfake.ClusterID("Q0x1-2_3AbCdEfGhIjKlMn"))
	script(t, "cluster", at, Command)
}

func TestScriptOfVersions(t *testing.T) {
	c, at := clitest.Cluster(t, kfake.NumBrokers(1))
	versions(c, map[int16][2]int16{0: {0, 9}, 3: {0, 12}, 4: {0, 7}, 18: {0, 3}, 32: {1, 4}, 16: {7, 9}, 47: {0, 0}, 200: {1, 2}}, nil)
	script(t, "versions", at, ApiVersions)
}

func TestScriptOfFeatures(t *testing.T) {
	c, at := clitest.Cluster(t, kfake.NumBrokers(1))
	versions(c, map[int16][2]int16{3: {0, 12}, 18: {0, 4}, 57: {0, 1}, 60: {0, 0}}, func(resp *kmsg.ApiVersionsResponse) {
		resp.SupportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{{Name: metadataVersion, MinVersion: 1, MaxVersion: 25}, {Name: "group.version", MaxVersion: 1}}
		resp.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{{Name: metadataVersion, MaxVersionLevel: 21, MinVersionLevel: 21}}
		resp.FinalizedFeaturesEpoch = 42
	})
	serve(c, kmsg.UpdateFeatures, func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
		for _, f := range req.(*kmsg.UpdateFeaturesRequest).FeatureUpdates {
			r := kmsg.NewUpdateFeaturesResponseResult()
			r.Feature = f.Feature
			if f.MaxVersionLevel > 25 {
				r.ErrorCode, r.ErrorMessage = kerr.InvalidUpdateVersion.Code, kmsg.StringPtr("Invalid update version")
			}
			resp.Results = append(resp.Results, r)
		}
		return resp
	})
	script(t, "features", at, Features)
}

func TestScriptOfTheQuorum(t *testing.T) {
	c, at := clitest.Cluster(t, kfake.NumBrokers(1), kfake.ClusterID("Q0x1-2_3AbCdEfGhIjKlMn"))
	versions(c, map[int16][2]int16{3: {0, 12}, 18: {0, 3}, 55: {0, 2}}, nil)
	serve(c, kmsg.DescribeQuorum, func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
		p := kmsg.NewDescribeQuorumResponseTopicPartition()
		p.LeaderID, p.LeaderEpoch, p.HighWatermark = 2, 7, 1000
		state := func(id int32, end, caughtUp int64) replica {
			r := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
			r.ReplicaID, r.LogEndOffset, r.LastFetchTimestamp, r.LastCaughtUpTimestamp = id, end, caughtUp, caughtUp
			r.ReplicaDirectoryID = [16]byte{15: byte(id)}
			return r
		}
		p.CurrentVoters = []replica{state(1, 990, 1_700_000_000_000), state(2, 1010, 1_700_000_000_250), state(3, 1010, -1)}
		p.Observers = []replica{state(4, 1000, -1)}
		resp.Topics = []kmsg.DescribeQuorumResponseTopic{{Topic: metadataTopic, Partitions: []kmsg.DescribeQuorumResponseTopicPartition{p}}}
		resp.Nodes = []kmsg.DescribeQuorumResponseNode{{NodeID: 1, Listeners: []kmsg.DescribeQuorumResponseNodeListener{{Name: "CONTROLLER", Host: "c1", Port: 9093}}}}
		return resp
	})
	script(t, "quorum", at, Quorum)
}

// The table of Kafka's requests holds what franz-go's does.
func TestKeysOfKafka(t *testing.T) {
	for i, a := range apis() {
		if int(a.key) != i {
			t.Fatalf("%s stands at %d", a.name, i)
		}
		req := kmsg.RequestForKey(a.key)
		if req == nil {
			continue
		}
		if name := strings.Replace(kmsg.NameForKey(a.key), "PartitionAssignments", "PartitionReassignments", 1); !strings.EqualFold(name, a.name) {
			t.Errorf("%d is %s, franz-go says %s", a.key, a.name, kmsg.NameForKey(a.key))
		}
		if a.max > req.MaxVersion() {
			t.Errorf("%s: version %d, franz-go knows %d", a.name, a.max, req.MaxVersion())
		}
	}
}
