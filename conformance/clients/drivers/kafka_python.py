#!/usr/bin/python3
"""Debian's python3-kafka (kafka-python) behind the JSON line protocol of process.go."""
import base64
import json
import logging
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic
from kafka.structs import TopicPartition

TIMEOUT_S = 60
COMMON = {"retry_backoff_ms": 20, "reconnect_backoff_ms": 20, "reconnect_backoff_max_ms": 100}


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
        self.admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, **COMMON)

    def create(self, c):
        self.admin.create_topics([NewTopic(c["topic"], c["partitions"], 1, topic_configs=c.get("config") or {})])

    def delete(self, c):
        self.admin.delete_topics([c["topic"]])

    def producer(self, c):
        codec = None if c["codec"] == "none" else c["codec"]
        self.client = KafkaProducer(bootstrap_servers=self.bootstrap, compression_type=codec, acks="all", retries=1000, linger_ms=5,
                                    max_in_flight_requests_per_connection=1, **COMMON)

    def send(self, c):
        futures = []
        for r in c["records"]:
            headers = [(h["key"], decode(h["value"])) for h in r["headers"] or []]
            futures.append(self.client.send(r.get("topic") or c["topic"], value=decode(r["value"]), key=decode(r["key"]), partition=0,
                                            headers=headers, timestamp_ms=r["timestampMs"] or None))
        self.client.flush(TIMEOUT_S)
        for f in futures:
            f.get(TIMEOUT_S)

    def consume(self, c):
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False, **COMMON)
        try:
            tp = TopicPartition(c["topic"], 0)
            consumer.assign([tp])
            start = 0
            if c.get("end"):
                start = consumer.end_offsets([tp])[tp]
            elif c.get("timestamp"):
                start = consumer.offsets_for_times({tp: c["timestamp"]})[tp].offset
            consumer.seek(tp, start)
            say({"ready": True})
            records = []
            while len(records) < c["count"]:
                batch = consumer.poll(timeout_ms=1000 * TIMEOUT_S)
                if not batch:
                    raise RuntimeError("got %d of %d records" % (len(records), c["count"]))
                for m in batch[tp]:
                    records.append({
                        "offset": m.offset, "timestampMs": m.timestamp, "key": encode(m.key), "value": encode(m.value),
                        "headers": [{"key": k, "value": encode(v)} for k, v in m.headers],
                    })
            return records[:c["count"]]
        finally:
            consumer.close()


def main():
    logging.disable(logging.CRITICAL)
    driver = Driver()
    for line in sys.stdin:
        c = json.loads(line)
        try:
            say({"records": getattr(driver, c["op"])(c) or []})
        except Exception as e:  # every failure goes to the script, which names it
            say({"error": "%s: %s" % (type(e).__name__, e)})


main()
