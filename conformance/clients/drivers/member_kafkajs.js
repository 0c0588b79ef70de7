// A group member of kafkajs; package groups starts it.
const { Kafka, logLevel } = require('kafkajs')
const readline = require('readline')

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

const main = async (o) => {
  const kafka = new Kafka({
    brokers: [o.bootstrap], clientId: o.clientId, logLevel: logLevel.NOTHING, requestTimeout: 20000,
    retry: { retries: 500, initialRetryTime: 20, maxRetryTime: 200 },
  })
  const consumer = kafka.consumer({
    groupId: o.group, sessionTimeout: o.sessionMs, heartbeatInterval: o.heartbeatMs, rebalanceTimeout: 10000, maxWaitTimeInMs: 200,
  })
  consumer.on(consumer.events.CRASH, (e) => say({ note: `${e.payload.error.name}: ${e.payload.error.message}` }))
  await consumer.connect()
  await consumer.subscribe({ topics: [o.topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, heartbeat }) => {
      const seen = batch.messages.map((m) => ({ partition: batch.partition, offset: Number(m.offset), value: m.value.toString() }))
      if (seen.length === 0) return
      say({ seen })
      await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset: String(seen[seen.length - 1].offset + 1) }])
      await heartbeat()
    },
  })
  return consumer
}

const lines = readline.createInterface({ input: process.stdin })
let running
lines.once('line', (line) => {
  running = main(JSON.parse(line))
  running.catch((e) => {
    say({ note: `${e.name}: ${e.message}` })
    process.exit(1)
  })
})
lines.once('close', async () => {
  const consumer = await running
  await consumer.disconnect()
  process.exit(0)
})
