"""The tour of kafka-python: `python kafka_python_tour.py BOOTSTRAP PREFIX`."""

import time

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import MessageSizeTooLargeError

from steps import BOOTSTRAP, PREFIX, await_that, check, equal, finish, noise, step

ADMIN = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def topic(name):
    return PREFIX + name


def partition(name):
    return TopicPartition(topic(name), 0)


def describe(name):
    return ADMIN.describe_topics([topic(name)])[0]


def create(name, partitions):
    ADMIN.create_topics({topic(name): {"num_partitions": partitions, "replication_factor": -1}})
    await_that("the topic " + name, lambda: len(describe(name)["partitions"]) == partitions)


def produce(name, values, headers=None, timestamps=None, **config):
    """Sends and returns the offsets; the first failed delivery is raised."""
    producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, **config)
    try:
        futures = []
        for n, value in enumerate(values):
            timestamp = timestamps[n] if timestamps else None
            futures.append(producer.send(topic(name), value, key=b"k", partition=0, headers=headers, timestamp_ms=timestamp))
        producer.flush(60)
        return [future.get(60).offset for future in futures]
    finally:
        producer.close(10)


def read_all(name, count):
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP, enable_auto_commit=False)
    consumer.assign([partition(name)])
    consumer.seek_to_beginning()
    records = []
    deadline = time.monotonic() + 30
    while len(records) < count and time.monotonic() < deadline:
        for batch in consumer.poll(200).values():
            records.extend(batch)
    equal(len(records), count)
    equal(consumer.end_offsets([partition(name)])[partition(name)], count)
    consumer.close()
    return records


@step("admin-create")
def _():
    create("admin", 3)


@step("admin-describe")
def _():
    described = describe("admin")
    equal(sorted(p["partition_index"] for p in described["partitions"]), [0, 1, 2])
    for p in described["partitions"]:
        check(p["leader_id"] >= 0 and len(p["isr_nodes"]) == 1, f"leader and isr of {p}")


@step("admin-config")
def _():
    answers = ADMIN.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic("admin"), {"retention.ms": "3600000"})])
    equal(answers["topic"][topic("admin")], "OK")

    def described():
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic("admin"))]
        return ADMIN.describe_configs(asked, config_filter="all")["topic"][topic("admin")]

    await_that("retention.ms", lambda: described()["retention.ms"]["value"] == "3600000")
    equal(described()["cleanup.policy"]["value"], "delete")


@step("admin-partitions")
def _():
    ADMIN.create_partitions({topic("admin"): 5})
    await_that("five partitions", lambda: len(describe("admin")["partitions"]) == 5)


def codec(name):
    create(name, 1)
    values = [(f"{name} record {n} " * 40).encode() for n in range(500)]
    produce(name, values, compression_type=None if name == "none" else name, linger_ms=50)
    equal([record.value for record in read_all(name, len(values))], values)


for codec_name in ["none", "gzip", "snappy", "lz4", "zstd"]:
    step("codec-" + codec_name)(lambda codec_name=codec_name: codec(codec_name))


@step("headers")
def _():
    create("headers", 1)
    # This client refuses to send a header without a value.
    headers = [("twice", b"first"), ("other", b""), ("twice", b"second")]
    produce("headers", [b"value"], headers=headers)
    equal(list(read_all("headers", 1)[0].headers), headers)


@step("timestamps")
def _():
    create("timestamps", 1)
    start = int(time.time() * 1000) - 100_000
    times = [start + n * 1000 for n in range(10)]
    produce("timestamps", [b"%d" % n for n in range(10)], timestamps=times)
    equal([record.timestamp for record in read_all("timestamps", 10)], times)
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
    found = consumer.offsets_for_times({partition("timestamps"): start + 3500})[partition("timestamps")]
    equal((found.offset, found.timestamp), (4, start + 4000))
    equal(consumer.beginning_offsets([partition("timestamps")])[partition("timestamps")], 0)
    consumer.close()


@step("large-record")
def _():
    create("large", 1)
    value = noise(900_000)
    produce("large", [value])
    check(read_all("large", 1)[0].value == value, "the large record came back changed")


@step("too-large")
def _():
    create("too-large", 1)
    try:
        produce("too-large", [noise(2_000_000)], max_request_size=10_000_000)
        raise AssertionError("a record of 2 MB was taken")
    except MessageSizeTooLargeError:
        pass
    equal(produce("too-large", [b"small"]), [0])


@step("idempotent")
def _():
    create("idempotent", 1)
    values = [b"%d" % n for n in range(1000)]
    equal(produce("idempotent", values, enable_idempotence=True, acks="all", batch_size=500), list(range(1000)))
    equal([record.value for record in read_all("idempotent", 1000)], values)


def read_in_group(count):
    """Reads `count` records as a member and commits up to there; also what was committed before."""
    consumer = KafkaConsumer(
        topic("group"), bootstrap_servers=BOOTSTRAP, group_id=topic("group"), auto_offset_reset="earliest", enable_auto_commit=False
    )
    values = []
    deadline = time.monotonic() + 60
    while len(values) < count and time.monotonic() < deadline:
        for batch in consumer.poll(200, max_records=count - len(values)).values():
            values.extend(int(record.value) for record in batch)
    before = consumer.committed(partition("group"))
    consumer.commit({partition("group"): OffsetAndMetadata(values[-1] + 1, "so far", -1)})
    equal(consumer.committed(partition("group")), values[-1] + 1)
    consumer.close(autocommit=False)
    return before, values


@step("group")
def _():
    create("group", 1)
    produce("group", [b"%d" % n for n in range(100)])
    before, first = read_in_group(50)
    equal(before, None)
    before, second = read_in_group(50)
    equal(before, 50)
    equal(first + second, list(range(100)))


@step("admin-groups")
def _():
    def listed():
        return [group["group_id"] for group in ADMIN.list_groups()]

    check(topic("group") in listed(), f"groups are {listed()}")
    described = ADMIN.describe_groups([topic("group")])[topic("group")]
    equal((described["group_id"], described["error"]), (topic("group"), None))
    offsets = ADMIN.list_group_offsets(topic("group"))[topic("group")]
    equal((offsets[partition("group")].offset, offsets[partition("group")].metadata), (100, "so far"))
    ADMIN.delete_groups([topic("group")])
    await_that("the group to be gone", lambda: topic("group") not in listed())


@step("admin-delete-records")
def _():
    answer = ADMIN.delete_records({partition("idempotent"): 400})[partition("idempotent")]
    equal((answer["low_watermark"], answer["error_code"]), (400, 0))
    consumer = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
    equal(consumer.beginning_offsets([partition("idempotent")])[partition("idempotent")], 400)
    consumer.close()


@step("admin-delete-topic")
def _():
    ADMIN.delete_topics([topic("admin")])
    await_that("the topic to be gone", lambda: topic("admin") not in ADMIN.list_topics())


finish("kafka-python", kafka.__version__)
