#!/usr/bin/python3
"""A group member of Debian's python3-confluent-kafka (librdkafka 2.0); package groups starts it."""
import json
import sys
import threading

from confluent_kafka import Consumer, KafkaException, TopicPartition


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main():
    o = json.loads(sys.stdin.readline())
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    config = {
        "bootstrap.servers": o["bootstrap"], "client.id": o["clientId"], "group.id": o["group"], "enable.auto.commit": False,
        "auto.offset.reset": "earliest", "fetch.wait.max.ms": 200, "log_level": 2, "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 200, "session.timeout.ms": o["sessionMs"], "heartbeat.interval.ms": o["heartbeatMs"],
        "max.poll.interval.ms": max(10000, o["sessionMs"]),
        "partition.assignment.strategy": "cooperative-sticky" if o["protocol"] == "cooperative" else "range",
    }
    if o["instance"]:
        config["group.instance.id"] = o["instance"]
    consumer = Consumer(config)
    work = []
    ends = {}

    def commit():
        if work:
            say({"seen": [{"partition": m.partition(), "offset": m.offset(), "value": m.value().decode()} for m in work]})
            ends.update({m.partition(): m.offset() + 1 for m in work})
            work.clear()
        if not ends:
            return
        try:
            consumer.commit(offsets=[TopicPartition(o["topic"], p, end) for p, end in ends.items()], asynchronous=False)
            ends.clear()
        except KafkaException as e:  # sent again, for the partitions that the member keeps
            say({"note": str(e)})

    def revoked(_, partitions):
        commit()
        for p in partitions:
            ends.pop(p.partition, None)

    # With callbacks, partitions are given up here, between two polls: never between a
    # record and its commit.
    consumer.subscribe([o["topic"]], on_assign=lambda *_: commit(), on_revoke=revoked)
    while not ended.is_set():
        m = consumer.poll(0 if work else 0.1)
        if m is not None and not m.error():
            work.append(m)
            if len(work) < 50:
                continue
        commit()
        if m is not None and m.error():
            say({"note": str(m.error())})
    commit()
    consumer.close()


main()
