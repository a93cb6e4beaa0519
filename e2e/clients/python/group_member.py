"""A member of a group: `python group_member.py BOOTSTRAP TOPIC GROUP FILE [never-commit]`.

Writes `partition offset key length crc32` for each record, and commits only what is written: at
least once. It reads until SIGTERM, then commits and leaves; a SIGKILL leaves records uncommitted.
`python group_member.py BOOTSTRAP TOPIC GROUP` without a file prints `LAG n` for the whole group."""

import signal
import sys
import zlib

from confluent_kafka import Consumer, KafkaException, TopicPartition

BOOTSTRAP, TOPIC, GROUP = sys.argv[1:4]
CONFIG = {
    "bootstrap.servers": BOOTSTRAP,
    "group.id": GROUP,
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "session.timeout.ms": 6000,
    "heartbeat.interval.ms": 500,
    # Small fetches, so that the members share the work while records are still coming.
    "fetch.message.max.bytes": 65536,
    "queued.max.messages.kbytes": 256,
    "fetch.queue.backoff.ms": 20,
}
COMMIT_EVERY = 1000


def read(path):
    is_asked_to_end = []
    signal.signal(signal.SIGTERM, lambda *_: is_asked_to_end.append(True))
    consumer = Consumer(CONFIG)
    uncommitted = 0
    commits = "never-commit" not in sys.argv
    with open(path, "w", encoding="utf-8") as out:

        def commit():
            out.flush()
            if commits:
                consumer.commit(asynchronous=False)

        def revoked(consumer, partitions):
            # Whoever gets the partitions next goes on where this member stopped.
            nonlocal uncommitted
            if uncommitted:
                commit()
                uncommitted = 0

        consumer.subscribe([TOPIC], on_revoke=revoked)
        while not is_asked_to_end:
            for message in consumer.consume(200, 0.1):
                if message.error():
                    raise KafkaException(message.error())
                value = message.value()
                out.write(f"{message.partition()} {message.offset()} {message.key().decode()} {len(value)} {zlib.crc32(value)}\n")
                uncommitted += 1
            out.flush()
            if uncommitted >= COMMIT_EVERY:
                commit()
                uncommitted = 0
        if uncommitted:
            commit()
    consumer.close()


def lag():
    consumer = Consumer(CONFIG)
    partitions = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
    committed = consumer.committed([TopicPartition(TOPIC, partition) for partition in partitions], timeout=10)
    total = 0
    for partition in committed:
        low, high = consumer.get_watermark_offsets(TopicPartition(TOPIC, partition.partition), timeout=10)
        total += high - max(partition.offset, low)
    consumer.close()
    print("LAG", total)


if len(sys.argv) > 4:
    read(sys.argv[4])
else:
    lag()
