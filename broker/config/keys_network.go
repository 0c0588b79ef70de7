package config

const maxInt = "2147483647"

// networkKeys bound connections and requests.
func networkKeys() []Key {
	return []Key{
		{Name: "socket.request.max.bytes", Type: Int, Default: "104857600", Unit: "bytes", Rule: atLeast(1), Doc: "Largest request; a larger one costs its sender the connection before memory is taken."},
		{Name: "socket.send.buffer.bytes", Type: Int, Default: "-1", Unit: "bytes", Rule: atLeast(-1), Doc: "Send buffer of a connection. -1: the system sizes it by the traffic, which is faster than any fixed size. Kafka has 102400 by default, here and in the file that it ships."},
		{Name: "socket.receive.buffer.bytes", Type: Int, Default: "-1", Unit: "bytes", Rule: atLeast(-1), Doc: "Receive buffer of a connection. -1: the system sizes it by the traffic. A fixed size such as the 102400 of Kafka costs a third more CPU at large batches: the window closes, and the broker works for the sender."},
		{Name: "socket.congestion.control", Type: String, Default: "", Doc: "TCP congestion control of the connections that clients open, such as cubic or bbr (Linux; a setting of Millrace). Empty: the system's, but reno towards clients on this machine, where there is no congestion and the pacing of bbr doubles the CPU time of a fetch."},
		{Name: "socket.listen.backlog.size", Type: Int, Default: "50", Rule: atLeast(1), NoEffect: "the system's largest backlog is used", Doc: "Connections that wait to be accepted."},
		{Name: "max.connections", Type: Int, Default: maxInt, Rule: atLeast(0), Dynamic: ClusterWide, Doc: "Most connections at a time."},
		{Name: "max.connections.per.ip", Type: Int, Default: maxInt, Rule: atLeast(0), Dynamic: ClusterWide, Doc: "Most connections at a time from one address."},
		{Name: "max.connections.per.ip.overrides", Type: String, Default: "", Rule: Rule{Allowed: "host:count separated by commas", ok: overridesOK}, Dynamic: ClusterWide, Doc: "Other limits for single addresses, host:count separated by commas."},
		{Name: "max.connection.creation.rate", Type: Int, Default: maxInt, Unit: "1/s", Rule: atLeast(1), Dynamic: ClusterWide, Doc: "Most new connections in a second, over quota.window.num windows. Beyond it a listener waits before it takes the next one. Addresses have connection_creation_rate, a quota."},
		{Name: "connections.max.idle.ms", Type: Long, Default: "600000", Unit: "ms", Doc: "A connection without a request for this long is closed. Negative: never."},
		{Name: "queued.max.requests", Type: Int, Default: "500", Rule: atLeast(1), NoEffect: "each connection may have 256 requests under way, and queued.max.request.bytes bounds their memory", Doc: "Requests that may wait to be handled before no more are read."},
		{Name: "queued.max.request.bytes", Type: Long, Default: "-1", Unit: "bytes", Doc: "Memory for requests that are read and not yet answered. -1: 256 MiB."},
		{Name: "fetch.max.bytes", Type: Int, Default: "57671680", Unit: "bytes", Rule: atLeast(1024), Doc: "Most that one fetch is answered with; a first batch that is larger is sent all the same."},
		{Name: "max.incremental.fetch.session.cache.slots", Type: Int, Default: "1000", Rule: atLeast(0), Doc: "Incremental fetch sessions that are kept."},
		{Name: "max.request.partition.size.limit", Type: Int, Default: "2000", Rule: atLeast(1), Doc: "Most partitions in one DescribeTopicPartitions answer."},
		{Name: "num.network.threads", Type: Int, Default: "3", Rule: atLeast(1), Dynamic: ClusterWide, NoEffect: noPool, Doc: "Threads that read requests."},
		{Name: "num.io.threads", Type: Int, Default: "8", Rule: atLeast(1), Dynamic: ClusterWide, NoEffect: noPool, Doc: "Threads that handle requests."},
		{Name: "background.threads", Type: Int, Default: "10", Rule: atLeast(1), Dynamic: ClusterWide, NoEffect: noPool, Doc: "Threads for work in the background."},
		{Name: "request.timeout.ms", Type: Int, Default: "30000", Unit: "ms", Rule: atLeast(0), NoEffect: noPeers, Doc: "How long a request to another broker may take."},
		{Name: "telemetry.max.bytes", Type: Int, Default: "1048576", Unit: "bytes", Rule: atLeast(1), Doc: "Most that a client may push of its metrics at once (KIP-714), as it is sent."},
		{Name: "quota.window.num", Type: Int, Default: "11", Rule: between(1, 10000), Doc: "Windows that a quota is measured over, the one that is not over included."},
		{Name: "quota.window.size.seconds", Type: Int, Default: "1", Unit: "s", Rule: between(1, 86400), Doc: "Length of a quota's window. A client that took too much of the broker's time is silent for one at most."},
		{Name: "controller.quota.window.num", Type: Int, Default: "11", Rule: between(1, 10000), Doc: "Windows whose worth of controller_mutation_rate may be used at once."},
		{Name: "controller.quota.window.size.seconds", Type: Int, Default: "1", Unit: "s", Rule: between(1, 86400), Doc: "Length of such a window."},
		{Name: "authorizer.class.name", Type: String, Default: "", Rule: Rule{Allowed: "empty: no authorizer is built yet", ok: func(v string) bool { return v == "" }}, Doc: "Who decides what a client may do. Refused when set, because nothing would enforce it."},
		{Name: "super.users", Type: String, Default: "", NoEffect: noSecurity, Doc: "Principals that may do everything."},
		{Name: "allow.everyone.if.no.acl.found", Type: Boolean, Default: "false", NoEffect: noSecurity, Doc: "Whether what no rule speaks of is allowed."},
		{Name: "remote.log.storage.system.enable", Type: Boolean, Default: "false", Rule: oneOf("false"), Doc: "Tiered storage; it is not built."},
	}
}

// groupKeys are those of transactions and security.
func groupKeys() []Key {
	return []Key{
		{Name: "transaction.state.log.num.partitions", Type: Int, Default: "50", Rule: atLeast(1), NoEffect: noTxns, Doc: "Partitions of the topic that holds transactions."},
		{Name: "transaction.state.log.replication.factor", Type: Short, Default: "3", Rule: atLeast(1), NoEffect: noTxns, Doc: "Replicas of the topic that holds transactions."},
		{Name: "transaction.state.log.min.isr", Type: Int, Default: "2", Rule: atLeast(1), NoEffect: noTxns, Doc: "min.insync.replicas of that topic."},
		{Name: "transaction.max.timeout.ms", Type: Int, Default: "900000", Unit: "ms", Rule: atLeast(1), NoEffect: noTxns, Doc: "Longest transaction."},
		{Name: "transactional.id.expiration.ms", Type: Int, Default: "604800000", Unit: "ms", Rule: atLeast(1), NoEffect: noTxns, Doc: "How long a silent transactional id is kept."},
		{Name: "sasl.enabled.mechanisms", Type: List, Default: "GSSAPI", Dynamic: PerBroker, NoEffect: noSecurity, Doc: "Mechanisms by which clients may authenticate."},
		{Name: "sasl.mechanism.inter.broker.protocol", Type: String, Default: "GSSAPI", Dynamic: PerBroker, NoEffect: noSecurity, Doc: "Mechanism by which brokers authenticate to each other."},
		{Name: "sasl.jaas.config", Type: Password, Null: true, Dynamic: PerBroker, NoEffect: noSecurity, Doc: "Login of a SASL mechanism."},
		{Name: "ssl.keystore.location", Type: String, Null: true, Dynamic: PerBroker, NoEffect: noSecurity, Doc: "File of the broker's certificate and key."},
		{Name: "ssl.keystore.password", Type: Password, Null: true, Dynamic: PerBroker, NoEffect: noSecurity, Doc: "Password of that file."},
		{Name: "ssl.key.password", Type: Password, Null: true, Dynamic: PerBroker, NoEffect: noSecurity, Doc: "Password of the key."},
		{Name: "ssl.truststore.location", Type: String, Null: true, Dynamic: PerBroker, NoEffect: noSecurity, Doc: "File of the trusted certificates."},
		{Name: "ssl.truststore.password", Type: Password, Null: true, Dynamic: PerBroker, NoEffect: noSecurity, Doc: "Password of that file."},
		{Name: "ssl.client.auth", Type: String, Default: "none", Rule: oneOf("required", "requested", "none"), Dynamic: PerBroker, NoEffect: noSecurity, Doc: "Whether clients must show a certificate."},
	}
}
