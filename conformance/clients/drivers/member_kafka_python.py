#!/usr/bin/python3
"""A group member of Debian's python3-kafka (kafka-python); package groups starts it."""
import json
import logging
import sys
import threading

from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata, TopicPartition


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main():
    logging.disable(logging.CRITICAL)
    o = json.loads(sys.stdin.readline())
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    consumer = KafkaConsumer(
        o["topic"], bootstrap_servers=o["bootstrap"], client_id=o["clientId"], group_id=o["group"], enable_auto_commit=False,
        auto_offset_reset="earliest", fetch_max_wait_ms=200, retry_backoff_ms=50, reconnect_backoff_ms=20, reconnect_backoff_max_ms=200,
        session_timeout_ms=o["sessionMs"], heartbeat_interval_ms=o["heartbeatMs"], max_poll_interval_ms=max(10000, o["sessionMs"]),
        partition_assignment_strategy=[RangePartitionAssignor], api_version_auto_timeout_ms=20000,
    )
    while not ended.is_set():
        for tp, records in consumer.poll(timeout_ms=100, max_records=50).items():
            say({"seen": [{"partition": tp.partition, "offset": r.offset, "value": r.value.decode()} for r in records]})
            try:
                consumer.commit({TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(records[-1].offset + 1, "")})
            except KafkaError as e:
                say({"note": "%s: %s" % (type(e).__name__, e)})
    consumer.close(autocommit=False)


main()
