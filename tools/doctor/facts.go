package doctor

import "time"

// facts are what was learned. A nil part could not be asked; skipped says why.
type facts struct {
	target  string
	config  *configFacts
	dirs    []dirFacts
	process *processFacts
	clock   *clockFacts
	cluster *clusterFacts
	cleaner *cleanerFacts
	groups  []groupFacts
	limits  thresholds

	askedGroups bool
	skipped     map[string]string // by check
}

// thresholds are where lag becomes a finding.
type thresholds struct {
	lagRecords int64
	lagSeconds float64
}

// configFacts are the settings in force: the broker's own answer when it runs, else the
// file's.
type configFacts struct {
	from     string // where they come from, for a sentence
	set      int    // how many somebody set
	values   map[string]string
	isSet    map[string]bool
	problems []string  // the file cannot be used
	warnings []warning // of the file
}

type warning struct {
	text    string
	unknown bool // a key that nobody knows, most likely misspelt
}

// dirFacts is one log directory.
type dirFacts struct {
	path               string
	err                string // why it is offline or cannot be used
	total, free        int64  // bytes of its volume, 0 when not known
	files, freeFiles   int64  // inodes, 0 when not known
	memory             bool   // a file system in memory
	syncs              int    // how many were measured
	syncP50, syncWorst time.Duration
}

// processFacts are what the node may use of the machine.
type processFacts struct {
	whose             string // "the broker" or "this shell"
	openFiles, maxFDs float64
	maxMaps           int64 // 0 when not known
	partitions        int   // that the node has, 0 when not known
}

// clockFacts compare clocks.
type clockFacts struct {
	skew         time.Duration // the node's clock minus ours
	skewKnown    bool
	unsynced     bool // this machine's clock is not disciplined
	unsyncedSeen bool
}

// clusterFacts are the Kafka port's answers.
type clusterFacts struct {
	id      string
	brokers []brokerFacts
	topics  []topicFacts
	offsets *offsetsFacts // nil: the topic does not exist
}

type brokerFacts struct {
	id        int32
	address   string
	err       string // why it could not be reached there
	wrongNode string // it answers as another node or cluster
	loopback  bool   // the address is one of the machine itself
}

type topicFacts struct {
	partitions, factor int
	name               string
	leaderless, under  []int32 // partitions without leader, with replicas out of sync
}

// offsetsFacts is __consumer_offsets.
type offsetsFacts struct {
	partitions, factor int
	cleanup            string
}

// cleanerFacts are the cleaner's figures.
type cleanerFacts struct {
	uncleanable []string // what it has set aside
}

// groupFacts is one consumer group.
type groupFacts struct {
	name, state string
	lag         int64
	seconds     float64 // -1 when not known
	worst       string  // partition with the most lag
	worstLag    int64
	lost        []string // partitions whose committed offset is before the log's start
	err         string
}
