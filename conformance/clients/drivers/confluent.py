#!/usr/bin/python3
"""Debian's python3-confluent-kafka (librdkafka 2.0) behind the JSON line protocol of process.go."""
import base64
import json
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TIMEOUT_S = 60


def say(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def decode(text):
    return None if text is None else base64.b64decode(text)


def encode(data):
    return None if data is None else base64.b64encode(data).decode()


class Driver:
    def connect(self, c):
        self.bootstrap = c["bootstrap"]
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})

    def create(self, c):
        topic = NewTopic(c["topic"], c["partitions"], 1, config=c.get("config") or {})
        for future in self.admin.create_topics([topic]).values():
            future.result(TIMEOUT_S)

    def delete(self, c):
        for future in self.admin.delete_topics([c["topic"]]).values():
            future.result(TIMEOUT_S)

    def producer(self, c):
        self.failures = []
        self.client = Producer({
            "bootstrap.servers": self.bootstrap, "compression.type": c["codec"], "acks": "all",
            "enable.idempotence": c.get("idempotent", False), "linger.ms": 5, "retry.backoff.ms": 20,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100,
        })

    def send(self, c):
        def delivered(err, _):
            if err is not None:
                self.failures.append(str(err))
        for r in c["records"]:
            headers = [(h["key"], decode(h["value"])) for h in r["headers"] or []]
            extra = {"timestamp": r["timestampMs"]} if r["timestampMs"] else {}
            self.client.produce(r.get("topic") or c["topic"], value=decode(r["value"]), key=decode(r["key"]), partition=0,
                                headers=headers, on_delivery=delivered, **extra)
        if self.client.flush(TIMEOUT_S) > 0:
            raise RuntimeError("records are still unsent")
        if self.failures:
            raise RuntimeError(self.failures[0])

    def consume(self, c):
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "unused", "enable.auto.commit": False})
        try:
            position = TopicPartition(c["topic"], 0, 0)
            if c.get("end"):
                position.offset = consumer.get_watermark_offsets(position, TIMEOUT_S)[1]
            elif c.get("timestamp"):
                position.offset = c["timestamp"]
                position = consumer.offsets_for_times([position], TIMEOUT_S)[0]
            consumer.assign([position])
            say({"ready": True})
            records = []
            while len(records) < c["count"]:
                m = consumer.poll(TIMEOUT_S)
                if m is None:
                    raise RuntimeError("got %d of %d records" % (len(records), c["count"]))
                if m.error():
                    raise KafkaException(m.error())
                records.append({
                    "offset": m.offset(), "timestampMs": m.timestamp()[1], "key": encode(m.key()), "value": encode(m.value()),
                    "headers": [{"key": k, "value": encode(v)} for k, v in m.headers() or []],
                })
            return records
        finally:
            consumer.close()


def main():
    driver = Driver()
    for line in sys.stdin:
        c = json.loads(line)
        try:
            say({"records": getattr(driver, c["op"])(c) or []})
        except Exception as e:  # every failure goes to the script, which names it
            say({"error": "%s: %s" % (type(e).__name__, e)})


main()
