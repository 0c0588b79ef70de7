// kafkajs behind the JSON line protocol of process.go. Its consumer knows groups only, so
// records are read by its own fetch, decoders and cluster classes, below the group.
const readline = require('readline')
const { Kafka, CompressionTypes, CompressionCodecs, logLevel } = require('kafkajs')
const Broker = require('kafkajs/src/broker')
const ConnectionPool = require('kafkajs/src/network/connectionPool')
const socketFactory = require('kafkajs/src/network/socketFactory')
const SnappyCodec = require('kafkajs-snappy')
const lz4 = require('lz4js')
const { ZstdCodec } = require('zstd-codec')

const zstd = new Promise((resolve) => ZstdCodec.run((z) => resolve(new z.Simple())))
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from((await zstd).compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from((await zstd).decompress(buffer)),
})

const types = {
  none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4, zstd: CompressionTypes.ZSTD,
}
const say = (answer) => process.stdout.write(JSON.stringify(answer) + '\n')
const decode = (text) => (text == null ? null : Buffer.from(text, 'base64'))
const encode = (data) => (data == null ? null : Buffer.from(data).toString('base64'))
const state = {}

// The consumer's own connection, below the group.
const fetcher = async () => {
  const [host, port] = state.bootstrap.split(':')
  const logger = state.kafka.logger()
  const connectionPool = new ConnectionPool({
    host, port: Number(port), logger, clientId: 'clients-kafkajs', requestTimeout: 30000, connectionTimeout: 5000,
    retry: {}, socketFactory: socketFactory(),
  })
  const broker = new Broker({ connectionPool, logger, nodeId: 0 })
  await broker.connect()
  return broker
}

const ops = {
  async connect(c) {
    state.bootstrap = c.bootstrap
    state.kafka = new Kafka({
      brokers: [c.bootstrap], clientId: 'clients-kafkajs', logLevel: logLevel.NOTHING,
      retry: { retries: 500, initialRetryTime: 20, maxRetryTime: 100 },
    })
  },
  async admin(f) {
    const admin = state.kafka.admin()
    await admin.connect()
    try {
      return await f(admin)
    } finally {
      await admin.disconnect()
    }
  },
  async create(c) {
    const configEntries = Object.entries(c.config || {}).map(([name, value]) => ({ name, value }))
    await ops.admin((a) => a.createTopics({
      topics: [{ topic: c.topic, numPartitions: c.partitions, replicationFactor: 1, configEntries }],
    }))
  },
  async delete(c) {
    await ops.admin((a) => a.deleteTopics({ topics: [c.topic] }))
  },
  async producer(c) {
    state.codec = types[c.codec]
    state.producer = state.kafka.producer({ idempotent: !!c.idempotent, maxInFlightRequests: 1 })
    await state.producer.connect()
  },
  async send(c) {
    const message = (r) => ({
      key: decode(r.key), value: decode(r.value), partition: 0,
      timestamp: r.timestampMs ? String(r.timestampMs) : undefined,
      headers: Object.fromEntries((r.headers || []).map((h) => [h.key, decode(h.value)])),
    })
    const topicMessages = new Map()
    for (const r of c.records) {
      const topic = r.topic || c.topic
      if (!topicMessages.has(topic)) topicMessages.set(topic, { topic, messages: [] })
      topicMessages.get(topic).messages.push(message(r))
    }
    await state.producer.sendBatch({ acks: -1, compression: state.codec, topicMessages: [...topicMessages.values()] })
  },
  async start(c) {
    if (c.end) {
      return (await ops.admin((a) => a.fetchTopicOffsets(c.topic)))[0].high
    }
    if (c.timestamp) {
      return (await ops.admin((a) => a.fetchTopicOffsetsByTimestamp(c.topic, c.timestamp)))[0].offset
    }
    return (await ops.admin((a) => a.fetchTopicOffsets(c.topic)))[0].low
  },
  async consume(c) {
    let next = BigInt(await ops.start(c))
    const broker = await fetcher()
    try {
      say({ ready: true })
      const records = []
      while (records.length < c.count) {
        const partitions = [{ partition: 0, currentLeaderEpoch: -1, fetchOffset: next.toString(), maxBytes: 1 << 20 }]
        const { responses } = await broker.fetch({
          maxWaitTime: 500, minBytes: 1, maxBytes: 10 << 20, isolationLevel: 0, topics: [{ topic: c.topic, partitions }],
        })
        for (const response of responses) {
          for (const { messages } of response.partitions) {
            for (const m of messages) {
              if (BigInt(m.offset) < next) continue
              next = BigInt(m.offset) + 1n
              const headers = Object.entries(m.headers || {}).map(([key, value]) => ({ key, value: encode(value) }))
              records.push({ offset: Number(m.offset), timestampMs: Number(m.timestamp), key: encode(m.key), value: encode(m.value), headers })
            }
          }
        }
      }
      return records
    } finally {
      await broker.disconnect()
    }
  },
}

const main = async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const c = JSON.parse(line)
    try {
      say({ records: (await ops[c.op](c)) || [] })
    } catch (e) {
      say({ error: `${e.name}: ${e.message}` })
    }
  }
  if (state.producer) await state.producer.disconnect()
}
main()
