package config

import "strings"

// foreignKeys are further keys of Apache Kafka 0.8 to 4.x that this broker accepts, so
// that a file written for Kafka starts it, and that have no effect.
const foreignKeys = `
alter.config.policy.class.name alter.log.dirs.replication.quota.window.num
alter.log.dirs.replication.quota.window.size.seconds advertised.host.name advertised.port auto.include.jmx.reporter
client.quota.callback.class connection.failed.authentication.delay.ms connections.max.reauth.ms
control.plane.listener.name controlled.shutdown.max.retries controlled.shutdown.retry.backoff.ms
controller.quorum.append.linger.ms controller.quorum.election.backoff.max.ms controller.quorum.request.timeout.ms
controller.quorum.retry.backoff.ms controller.quorum.auto.join.enable
controller.performance.sample.period.ms controller.performance.always.log.threshold.ms
controller.socket.timeout.ms create.topic.policy.class.name delegation.token.expiry.check.interval.ms
delegation.token.expiry.time.ms delegation.token.master.key delegation.token.max.lifetime.ms delegation.token.secret.key
delete.records.purgatory.purge.interval.requests early.start.listeners eligible.leader.replicas.enable
fetch.purgatory.purge.interval.requests host.name initial.broker.registration.timeout.ms
kafka.metrics.polling.interval.secs kafka.metrics.reporters
log.initial.task.delay.ms log.local.retention.bytes log.local.retention.ms
metadata.log.dir metadata.log.max.record.bytes.between.snapshots metadata.log.max.snapshot.interval.ms
metadata.log.segment.bytes metadata.log.segment.min.bytes metadata.log.segment.ms metadata.max.idle.interval.ms
metadata.max.retention.bytes metadata.max.retention.ms metric.reporters metrics.num.samples metrics.recording.level
metrics.sample.window.ms num.replica.alter.log.dirs.threads offsets.commit.required.acks
offsets.load.buffer.size password.encoder.cipher.algorithm password.encoder.iterations
password.encoder.key.length password.encoder.keyfactory.algorithm password.encoder.old.secret password.encoder.secret port
principal.builder.class producer.purgatory.purge.interval.requests quota.consumer.default quota.producer.default
remote.fetch.max.wait.ms remote.list.offsets.request.timeout.ms
replica.fetch.backoff.ms replica.socket.receive.buffer.bytes replica.socket.timeout.ms replication.quota.window.num
replication.quota.window.size.seconds security.providers server.max.startup.time.ms
socket.connection.setup.timeout.max.ms socket.connection.setup.timeout.ms
transaction.abort.timed.out.transaction.cleanup.interval.ms transaction.partition.verification.enable
transaction.remove.expired.transaction.cleanup.interval.ms transaction.state.log.load.buffer.size
transaction.state.log.segment.bytes transaction.two.phase.commit.enable unclean.leader.election.interval.ms
unstable.api.versions.enable unstable.feature.versions.enable zookeeper.clientCnxnSocket
zookeeper.metadata.migration.enable zookeeper.metadata.migration.min.batch.size zookeeper.sync.time.ms
group.coordinator.append.linger.ms group.coordinator.new.enable group.coordinator.threads
share.coordinator.append.linger.ms errors.deadletterqueue.topic.name.prefix
`

// foreignPrefixes are families of such keys.
const foreignPrefixes = `ssl. sasl. listener.name. zookeeper.ssl. remote.log. remote.storage. group.share. group.consumer. group.streams. share. log.cleaner. confluent.`

// foreign tells whether Kafka, or a distribution of it, has the key.
func (c *Catalogue) foreign(name string) bool {
	if _, ok := c.others[name]; ok {
		return true
	}
	for prefix := range strings.FieldsSeq(foreignPrefixes) {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
