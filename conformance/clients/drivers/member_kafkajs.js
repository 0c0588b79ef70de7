// A group member of kafkajs; package groups starts it.
const { Kafka, logLevel } = require('kafkajs')
const readline = require('readline')

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

const main = async (o) => {
  const kafka = new Kafka({
    brokers: [o.bootstrap], clientId: o.clientId, logLevel: logLevel.NOTHING, requestTimeout: 20000,
    retry: { retries: 500, initialRetryTime: 20, maxRetryTime: 200 },
  })
  const member = { consumer: null, ended: false }
  const start = async () => {
    const consumer = kafka.consumer({
      groupId: o.group, sessionTimeout: o.sessionMs, heartbeatInterval: o.heartbeatMs, rebalanceTimeout: 10000, maxWaitTimeInMs: 200,
    })
    member.consumer = consumer
    // A commit that the group refuses ends the consumer for good: an application makes another one.
    consumer.on(consumer.events.CRASH, async (e) => {
      say({ note: `${e.payload.error.name}: ${e.payload.error.message}` })
      if (e.payload.restart || member.ended) return
      await consumer.disconnect()
      await start()
    })
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
  }
  await start()
  return member
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
  const member = await running
  member.ended = true
  await member.consumer.disconnect()
  process.exit(0)
})
