package zoocfg

import "strings"

// refusedKeys are switches whose owner would believe that something is guarded which is not.
func refusedKeys() []key {
	const sasl = "SASL is not supported: guard the servers' ports with sslQuorum=true"
	const clientSASL = "SASL is not supported: let clients in by secureClientPort with ssl.clientAuth=need"
	return []key{
		{name: "quorum.auth.enableSasl", parse: switchedOn(sasl)},
		{name: "quorum.auth.serverRequireSasl", parse: switchedOn(sasl)},
		{name: "quorum.auth.learnerRequireSasl", parse: switchedOn(sasl)},
		property("sessionRequireClientSASLAuth", switchedOn(clientSASL)),
		property("admin.forceHttps", switchedOn("the admin server speaks plain HTTP: leave it on loopback (admin.serverAddress=127.0.0.1)")),
		property("admin.needClientAuth", switchedOn("the admin server speaks plain HTTP: leave it on loopback (admin.serverAddress=127.0.0.1)")),
	}
}

// idle is keys that are accepted and have no effect, with the reason.
type idle struct {
	why  string
	keys string // of zoo.cfg; one that ends in * has a number or name there
	// props are read by ZooKeeper as zookeeper.NAME, plain ones as NAME.
	props, plain string
}

const (
	noJVM     = "there is no JVM here"
	noThreads = "connections and requests have no thread pools of their own here"
	raft      = "the ensemble is replicated by Raft, which has no such step"
	snapshots = "snapshots and the log have a format of their own here (docs/format)"
	noSASL    = "SASL is not supported"
	throttle  = "each connection stops reading by itself when it is ahead of the server; there is no such throttle"
	watches   = "watches are kept in one compact table"
)

func idles() []idle {
	return []idle{
		{why: "every session is a global one: all servers know it", keys: "localSessionsEnabled localSessionsUpgradingEnabled"},
		{why: "hierarchical quorums are not supported: each voter has one vote, and a majority of voters decides", keys: "group.* weight.*"},
		{why: "quorums decided by an oracle are not supported: a majority of voters decides", keys: "oraclePath"},
		{why: "a server has one address; a DNS name is looked up anew each time that a server connects to it",
			keys: "multiAddress.enabled multiAddress.reachabilityCheckTimeoutMs multiAddress.reachabilityCheckEnabled"},
		{why: "observers follow the leader directly", keys: "observerMasterPort"},
		{why: "observers keep the log like every other server", keys: "syncEnabled", props: "observer.syncEnabled"},
		{why: noSASL, keys: "quorum.auth.learner.saslLoginContext quorum.auth.server.saslLoginContext quorum.auth.kerberos.servicePrincipal",
			props: "superUser SASLAuthenticationProvider.superPassword allowSaslFailedClients letAnySaslUserDoX sasl.serverconfig requireKerberosConfig security.auth_to_local " +
				"server.realm server.principal kinit kerberos.removeHostFromPrincipal kerberos.removeRealmFromPrincipal kerberos.canonicalizeHostNames kerberos.minReLoginTimeMs",
			plain: "java.security.auth.login.config"},
		{why: noJVM, keys: "jvm.pause.monitor jvm.pause.warn-threshold.ms jvm.pause.info-threshold.ms jvm.pause.sleep.time.ms",
			props: "jvm.pause.monitor jmx.log4j.disable jmx.log4j.mbean fips-mode nio.directBufferBytes intBufferStartingSizeBytes serverCnxnFactory"},
		{why: noThreads, keys: "quorum.cnxn.threads.size",
			props: "nio.numSelectorThreads nio.numWorkerThreads nio.shutdownTimeout nio.sessionlessCnxnTimeout commitProcessor.numWorkerThreads commitProcessor.maxReadBatchSize " +
				"commitProcessor.maxCommitBatchSize commitProcessor.shutdownTimeout flushDelay maxWriteQueuePollTime maxBatchSize " +
				"netty.advancedFlowControl.enabled advancedFlowControlEnabled outstandingHandshake.limit netty.server.outstandingHandshake.limit netty.server.earlyDropSecureConnectionHandshakes admin.httpVersion admin.portUnification",
			plain: "metricsProvider.numWorkerThreads metricsProvider.maxQueueSize metricsProvider.workerShutdownTimeoutMs"},
		{why: raft, keys: "connectToLearnerMasterLimit",
			props: "leaderServes commitLogCount snapshotSizeFactor forceSnapshotSync maxTimeToWaitForEpoch maxConcurrentSnapSyncs maxConcurrentDiffSyncs leader.maxTimeToWaitForEpoch leader.maxConcurrentSnapSyncs leader.maxConcurrentDiffSyncs leader.ackLoggingFrequency " +
				"leader.closeSocketAsync learner.closeSocketAsync learner.asyncSending follower.skipLearnerRequestToNextProcessor forward_learner_requests_to_commit_processor_disabled " +
				"fastleader.minNotificationInterval fastleader.maxNotificationInterval electionPortBindRetry leaderConnectDelayDuringRetryMs observer.reconnectDelayMs observer.election.DelayMs " +
				"observerMaster.sizeLimit connectToLearnerMasterLimit request.timeout quorum.cnxn.threads.size testingonly.initialZxid controllerPort closeSessionTxn.enabled",
			plain: "learner.closeSocketAsync learner.asyncSending leader.closeSocketAsync follower.nodelay leader.nodelay"},
		{why: snapshots, props: "preAllocSize txnLogSizeLimitInKb snapshot.compression.method snapshot.trust.empty emulate353TTLNodes digest.enabled"},
		{why: throttle, props: "largeRequestThreshold connection_throttle_tokens connection_throttle_fill_time connection_throttle_fill_count connection_throttle_freeze_time connection_throttle_drop_increase " +
			"connection_throttle_drop_decrease connection_throttle_decrease_ratio connection_throttle_weight_enabled connection_throttle_global_session_weight " +
			"connection_throttle_local_session_weight connection_throttle_renew_session_weight request_throttle_max_requests request_throttle_stall_time request_throttle_drop_stale " +
			"request_stale_latency_check request_stale_connection_check request_throttler.shutdownTimeout throttled_op_wait_time throttledOpWaitTime jute.maxbuffer.extrasize " +
			"connectionMaxTokens connectionTokenFillTime connectionTokenFillCount connectionFreezeTime connectionDropIncrease connectionDropDecrease connectionDecreaseRatio " +
			"requestThrottleLimit requestThrottleStallTime requestThrottleDropStale requestStaleLatencyCheck requestStaleConnectionCheck enableEagerACLCheck",
			plain: "request_throttle_drop_stale"},
		{why: watches, props: "watchManagerName watcherCleanThreadsNum watcherCleanThreshold watcherCleanIntervalInSeconds maxInProcessingDeadWatchers bitHashCacheSize"},
		{why: "answers are made from memory at once and are not cached", props: "maxResponseCacheSize maxGetChildrenResponseCacheSize"},
		{why: "a server without a quorum serves nobody", props: "readonlymode.enabled", plain: "readonlymode.enabled"},
		{why: "keep-alives are always sent", props: "tcpKeepAlive clientTcpKeepAlive"},
		{why: "the system's own backlog is used (net.core.somaxconn)", keys: "clientPortListenBacklog"},
		{why: "there is no audit log", props: "audit.enable audit.impl.class"},
		{why: "clients of every chroot and name of an ensemble are let in", props: "ensembleAuthName"},
		{why: "metrics take its place", props: "messageTracker.BufferSize messageTracker.Enabled pathStats.enabled pathStats.delay pathStats.initialDelay pathStats.maxDepth pathStats.sampleRate " +
			"pathStats.slotCapacity pathStats.slotDuration pathStats.topPathMax"},
		{why: "classes of Java cannot be loaded here; digest, ip, world, auth and x509 are built in", props: "authProvider authProvider.*", plain: "authProvider.*"},
		{why: "a certificate's names are compared with what was dialled, without asking DNS", props: "ssl.allowReverseDnsLookup ssl.quorum.allowReverseDnsLookup"},
		{why: "whether a connection is encrypted shows in its first byte, whenever that comes", props: "ssl.handshakeDetectionTimeoutMillis ssl.quorum.handshakeDetectionTimeoutMillis"},
		{why: "it is a setting of clients", props: "client.secure clientCnxnSocket disableAutoWatchReset sasl.client sasl.client.canonicalize.hostname sasl.client.username sasl.clientconfig"},
		{why: "log lines go to standard output, and with zkServer.sh start to ZOO_LOG_DIR", props: "log.dir log.file log.threshold root.logger console.threshold tracelog.dir tracelog.file"},
	}
}

func idleKeys() []key {
	var keys []key
	for _, i := range idles() {
		for name := range strings.FieldsSeq(i.keys) {
			keys = append(keys, key{name: name, why: i.why})
		}
		for name := range strings.FieldsSeq(i.props) {
			keys = append(keys, key{name: name, prop: "zookeeper." + name, why: i.why})
		}
		for name := range strings.FieldsSeq(i.plain) {
			keys = append(keys, key{name: name, prop: name, why: i.why})
		}
	}
	return keys
}

// quiet tells which properties without effect are not worth a warning when they come by -D:
// ZooKeeper's own scripts and packages set them.
func quiet(name string) bool {
	for _, prefix := range []string{"zookeeper.log.", "zookeeper.root.logger", "zookeeper.console.", "zookeeper.tracelog.", "zookeeper.jmx."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
