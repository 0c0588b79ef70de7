package config

// Reasons for NoEffect.
const (
	noPeers    = "this broker runs alone: there are no other replicas"
	noGroups   = "consumer groups are not served yet"
	noTxns     = "transactions are not served yet"
	noVoters   = "it belongs to Apache Kafka's own controllers; here a quorum keeps the cluster's state, inside the broker or at zookeeper.connect"
	noPool     = "goroutines take the place of this pool"
	noSecurity = "encryption and authentication are not built yet"
)

// identityKeys say who the broker is and where it listens.
func identityKeys() []Key {
	return []Key{
		{Name: "broker.id", Type: Int, Default: "-1", Rule: atLeast(-1), Fallbacks: []Fallback{{Name: "node.id"}},
			Doc: "The broker's number in the cluster. -1: the one that its log folders hold, else 1001 or the next free one."},
		{Name: "node.id", Type: Int, Default: "-1", Rule: atLeast(-1), Doc: "Another name for broker.id."},
		{Name: "broker.id.generation.enable", Type: Boolean, Default: "true", Doc: "Whether a broker without broker.id gets a number by itself."},
		{Name: "reserved.broker.max.id", Type: Int, Default: "1000", Rule: atLeast(0), Doc: "Numbers that brokers get by themselves are larger."},
		{Name: "process.roles", Type: List, Default: "", Rule: Rule{Allowed: "a list of broker, controller", ok: func(v string) bool {
			return v == "" || eachOf("broker", "controller").ok(v)
		}}, NoEffect: "this process is both broker and controller", Doc: "Roles of the process."},
		{Name: "broker.rack", Type: String, Null: true, Doc: "Where the broker stands; told to clients."},
		{Name: "listeners", Type: String, Default: "PLAINTEXT://:9092", Dynamic: PerBroker, Doc: "Addresses to listen on, NAME://host:port separated by commas. An empty host means all interfaces. Without a configuration file the default is loopback: PLAINTEXT://127.0.0.1:9092."},
		{Name: "advertised.listeners", Type: String, Null: true, Dynamic: PerBroker, Doc: "Addresses that clients are told. Not set: each client is told the address that it connected to."},
		{Name: "listener.security.protocol.map", Type: String, Default: "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL", Dynamic: PerBroker,
			Doc: "Security protocol of each listener name, NAME:PROTOCOL separated by commas. Only PLAINTEXT is built yet: a listener with another protocol stops the start."},
		{Name: "inter.broker.listener.name", Type: String, Null: true, NoEffect: noPeers, Doc: "Listener that brokers use among themselves."},
		{Name: "security.inter.broker.protocol", Type: String, Default: "PLAINTEXT", Rule: oneOf("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"), NoEffect: noPeers, Doc: "Security protocol that brokers use among themselves."},
		{Name: "controller.listener.names", Type: String, Null: true, Doc: "Names in listeners that belong to a controller quorum; they are not opened: the controller is inside the broker."},
		{Name: "admin.listener", Type: String, Default: "127.0.0.1:9644", Rule: Rule{Allowed: "host:port, or empty for none", ok: adminAddressOK},
			Doc: "Address of the admin port: /metrics, /healthz, /debug/pprof and /debug/fgprof. Empty: none. Millrace only."},
	}
}

// clusterKeys bind the broker to others.
func clusterKeys() []Key {
	return []Key{
		{Name: "zookeeper.connect", Type: String, Null: true, Rule: Rule{Allowed: "host:port,host:port/chroot", ok: connectOK},
			Doc: "Addresses of the ensemble that keeps the cluster's state, host:port separated by commas, and a chroot after the last, which is made where it is missing: a:2181,b:2181,c:2181/kafka. It is one of Millrace (millrace quorum) or of Apache ZooKeeper, 3.6 or later. Not set: the broker has a quorum of its own inside."},
		{Name: "zookeeper.session.timeout.ms", Type: Int, Default: "18000", Unit: "ms", Rule: atLeast(1), Doc: "A broker that the quorum does not hear from for this long counts as dead."},
		{Name: "zookeeper.connection.timeout.ms", Type: Int, Null: true, Unit: "ms", Rule: atLeast(1), Doc: "How long the start waits for the ensemble. Not set: as long as zookeeper.session.timeout.ms."},
		{Name: "zookeeper.set.acl", Type: Boolean, Default: "false", NoEffect: noSecurity, Doc: "Whether nodes get access lists."},
		{Name: "zookeeper.max.in.flight.requests", Type: Int, Default: "10", Rule: atLeast(1), Doc: "Writes to the ensemble that may be under way."},
		{Name: "jute.maxbuffer", Type: Int, Default: "1048575", Unit: "bytes", Rule: atLeast(1024), Doc: "Largest packet on a connection to the quorum, both ways: of the quorum inside the broker, and of the one that zookeeper.connect names. A server and its clients need the same value. Apache Kafka takes it from -Djute.maxbuffer."},
		{Name: "quorum.client.listener", Type: String, Default: "127.0.0.1:2181", Rule: Rule{Allowed: "host:port, or empty for none", ok: adminAddressOK},
			Doc: "Address at which ZooKeeper's clients find the quorum inside the broker: zkCli.sh, kafka-topics.sh --zookeeper. Anybody who reaches it may change everything. Empty: none; the broker itself needs none. Without effect where zookeeper.connect is set. Millrace only."},
		{Name: "quorum.dir", Type: String, Null: true, Doc: "Folder of the quorum inside the broker. Not set: millrace-quorum in the first of log.dirs. Apache Kafka does not start on log.dirs with a folder that it does not know: move it away before you go back. Millrace only."},
		{Name: "controller.quorum.voters", Type: List, Default: "", NoEffect: noVoters, Doc: "The voters of a controller quorum, id@host:port."},
		{Name: "controller.quorum.bootstrap.servers", Type: List, Default: "", NoEffect: noVoters, Doc: "Addresses at which to find the controller quorum."},
		{Name: "controller.quorum.election.timeout.ms", Type: Int, Default: "1000", Unit: "ms", NoEffect: noVoters, Doc: "How long a voter waits before it asks for an election."},
		{Name: "controller.quorum.fetch.timeout.ms", Type: Int, Default: "2000", Unit: "ms", NoEffect: noVoters, Doc: "How long a voter goes without its leader."},
		{Name: "broker.session.timeout.ms", Type: Int, Default: "9000", Unit: "ms", NoEffect: noVoters, Doc: "A broker without a heartbeat for this long counts as dead."},
		{Name: "broker.heartbeat.interval.ms", Type: Int, Default: "2000", Unit: "ms", NoEffect: noVoters, Doc: "How often a broker shows that it lives."},
		{Name: "replica.lag.time.max.ms", Type: Long, Default: "30000", Unit: "ms", NoEffect: noPeers, Doc: "A follower that did not catch up for this long leaves the in-sync replicas."},
		{Name: "replica.fetch.max.bytes", Type: Int, Default: "1048576", Unit: "bytes", Rule: atLeast(0), NoEffect: noPeers, Doc: "How much a follower fetches of a partition at once."},
		{Name: "replica.fetch.response.max.bytes", Type: Int, Default: "10485760", Unit: "bytes", Rule: atLeast(0), NoEffect: noPeers, Doc: "How much a follower fetches at once."},
		{Name: "replica.fetch.wait.max.ms", Type: Int, Default: "500", Unit: "ms", NoEffect: noPeers, Doc: "How long a follower's fetch waits for data."},
		{Name: "replica.fetch.min.bytes", Type: Int, Default: "1", Unit: "bytes", NoEffect: noPeers, Doc: "What a follower's fetch waits for."},
		{Name: "replica.high.watermark.checkpoint.interval.ms", Type: Long, Default: "5000", Unit: "ms", Rule: atLeast(1), Doc: "How often the high watermarks are written down."},
		{Name: "replica.selector.class", Type: String, Null: true, NoEffect: noPeers, Doc: "How the replica is chosen that a consumer reads from."},
		{Name: "leader.replication.throttled.rate", Type: Long, Default: long(maxLong), Unit: "bytes/s", Rule: atLeast(0), Dynamic: ClusterWide, NoEffect: noPeers, Doc: "How fast leaders send what is throttled of their topics (leader.replication.throttled.replicas)."},
		{Name: "follower.replication.throttled.rate", Type: Long, Default: long(maxLong), Unit: "bytes/s", Rule: atLeast(0), Dynamic: ClusterWide, NoEffect: noPeers, Doc: "How fast followers fetch what is throttled of their topics (follower.replication.throttled.replicas)."},
		{Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: Long, Default: long(maxLong), Unit: "bytes/s", Rule: atLeast(1), Dynamic: ClusterWide, Doc: "How fast logs are copied to other log directories (kafka-reassign-partitions.sh --replica-alter-log-dirs-throttle), all together."},
		{Name: "num.replica.fetchers", Type: Int, Default: "1", Dynamic: ClusterWide, NoEffect: noPeers, Doc: "Connections to each other broker."},
		{Name: "auto.leader.rebalance.enable", Type: Boolean, Default: "true", NoEffect: noPeers, Doc: "Whether leadership goes back to preferred replicas by itself."},
		{Name: "leader.imbalance.check.interval.seconds", Type: Long, Default: "300", Unit: "s", Rule: atLeast(1), NoEffect: noPeers, Doc: "How often that is looked at."},
		{Name: "leader.imbalance.per.broker.percentage", Type: Int, Default: "10", Unit: "%", NoEffect: noPeers, Doc: "How much imbalance is left alone."},
		{Name: "controlled.shutdown.enable", Type: Boolean, Default: "true", NoEffect: noPeers, Doc: "Whether leadership is given away before a stop."},
		{Name: "inter.broker.protocol.version", Type: String, Null: true, NoEffect: noPeers, Doc: "Protocol version among brokers."},
	}
}

// adminKeys are about topics.
func adminKeys() []Key {
	return []Key{
		{Name: "num.partitions", Type: Int, Default: "1", Rule: atLeast(1), Doc: "Partitions of a topic that is created without saying how many."},
		{Name: "default.replication.factor", Type: Int, Default: "1", Rule: between(1, 32767), Doc: "Replicas of a topic that is created without saying how many."},
		{Name: "auto.create.topics.enable", Type: Boolean, Default: "true", Doc: "Whether a client that asks for a topic that does not exist creates it. The log says which client did."},
		{Name: "delete.topic.enable", Type: Boolean, Default: "true", Doc: "Whether topics can be deleted."},
		{Name: "min.insync.replicas", Type: Int, Default: "1", Rule: atLeast(1), Dynamic: ClusterWide, Topic: "min.insync.replicas",
			Doc: "With acks=all a produce is refused while fewer replicas than this are in sync."},
		{Name: "unclean.leader.election.enable", Type: Boolean, Default: "false", Dynamic: ClusterWide, Topic: "unclean.leader.election.enable", NoEffect: noPeers,
			Doc: "Whether a replica that is not in sync may lead, at the price of lost records."},
		{TopicOnly: true, Topic: "leader.replication.throttled.replicas", Type: List, Default: "", NoEffect: noPeers, Doc: "Replicas whose leader's side is throttled, partition:broker, or *."},
		{TopicOnly: true, Topic: "follower.replication.throttled.replicas", Type: List, Default: "", NoEffect: noPeers, Doc: "Replicas whose follower's side is throttled, partition:broker, or *."},
		{TopicOnly: true, Topic: "remote.storage.enable", Type: Boolean, Default: "false", Rule: oneOf("false"), Doc: "Tiered storage; it is not built."},
		{TopicOnly: true, Topic: "local.retention.ms", Type: Long, Default: "-2", Unit: "ms", Rule: atLeast(-2), NoEffect: "tiered storage is not built", Doc: "How long records stay on local disks."},
		{TopicOnly: true, Topic: "local.retention.bytes", Type: Long, Default: "-2", Unit: "bytes", Rule: atLeast(-2), NoEffect: "tiered storage is not built", Doc: "How much stays on local disks."},
	}
}
