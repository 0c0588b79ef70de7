package apis

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/internal/testkit"
)

// A partition moves between the broker's directories in every version, and back, with its
// records.
func TestAlterReplicaLogDirs(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	_, c := launch(t, map[string]string{"log.dirs": strings.Join(dirs, ",")})
	made := c.create(1)
	c.put(made, values("a", "b"))
	// where is the directory of the log, and that of its copy while there is one.
	where := func(c *client) (log, future string) {
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: made.name, Partitions: []int32{0}}}
		for _, d := range call[*kmsg.DescribeLogDirsResponse](c, 4, req).Dirs {
			for _, dt := range d.Topics {
				for _, p := range dt.Partitions {
					if p.IsFuture {
						future = d.Dir
					} else {
						log = d.Dir
					}
				}
			}
		}
		return log, future
	}
	each(c, 1, 2, func(c *client, v int16) {
		move := func(dir, name string, partition int32) int16 {
			req := kmsg.NewPtrAlterReplicaLogDirsRequest()
			req.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: dir, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: name, Partitions: []int32{partition}}}}}
			resp := call[*kmsg.AlterReplicaLogDirsResponse](c, v, req)
			equal(c, "throttle", resp.ThrottleMillis, 0)
			topic := one(c, "topics", resp.Topics)
			equal(c, "topic", topic.Topic, name)
			return one(c, "partitions", topic.Partitions).ErrorCode
		}
		from, _ := where(c)
		to := dirs[1-slices.Index(dirs, from)]
		code(c, move(to, made.name, 0), nil)
		testkit.WaitFor(c, "the log to arrive", func() bool {
			log, future := where(c)
			return log == to && future == ""
		})
		code(c, move(to, made.name, 0), nil)
		code(c, move("/no/such/directory", made.name, 0), kerr.LogDirNotFound)
		code(c, move(from, made.name, 7), kerr.UnknownTopicOrPartition)
		code(c, move(from, c.fresh(), 0), kerr.UnknownTopicOrPartition)
		equal(c, "next offset", c.put(made, values("x")), int64(v)+1)
		equal(c, "end", c.offset(made, 0, -1), int64(v)+2)
	})
}
