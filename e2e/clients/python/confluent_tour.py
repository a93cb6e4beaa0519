"""The tour of confluent-kafka (librdkafka): `python confluent_tour.py BOOTSTRAP PREFIX`."""

import time

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, ResourceType

from steps import BOOTSTRAP, PREFIX, await_that, check, equal, finish, noise, step


def topic(name):
    return PREFIX + name


def config(**extra):
    return {"bootstrap.servers": BOOTSTRAP, **{key.replace("_", "."): value for key, value in extra.items()}}


ADMIN = AdminClient(config())


def metadata(name):
    return ADMIN.list_topics(timeout=10).topics.get(topic(name))


def create(name, partitions):
    ADMIN.create_topics([NewTopic(topic(name), num_partitions=partitions, replication_factor=1)])[topic(name)].result()
    await_that("the topic " + name, lambda: metadata(name) and len(metadata(name).partitions) == partitions)


def produce(producer, name, values, **extra):
    """Sends and returns the offsets; the first failed delivery is raised."""
    offsets = []
    errors = []

    def delivered(error, message):
        if error:
            errors.append(error)
        else:
            offsets.append(message.offset())

    for value in values:
        producer.produce(topic(name), value, key="k", partition=0, on_delivery=delivered, **extra)
        producer.poll(0)
    check(producer.flush(60) == 0, "records are still in the queue")
    if errors:
        raise KafkaException(errors[0])
    return offsets


def read_all(name, count):
    consumer = Consumer(config(group_id=topic("reader"), enable_auto_commit=False))
    consumer.assign([TopicPartition(topic(name), 0, 0)])
    messages = []
    deadline = time.monotonic() + 30
    while len(messages) < count and time.monotonic() < deadline:
        for message in consumer.consume(500, 0.2):
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
    equal(len(messages), count)
    equal(consumer.get_watermark_offsets(TopicPartition(topic(name), 0), timeout=10)[1], count)
    consumer.close()
    return messages


@step("admin-create")
def _():
    create("admin", 3)


@step("admin-describe")
def _():
    described = metadata("admin")
    equal(sorted(described.partitions), [0, 1, 2])
    for partition in described.partitions.values():
        check(partition.leader >= 0 and len(partition.isrs) == 1, f"leader and isr of {partition}")


@step("admin-config")
def _():
    resource = ConfigResource(ResourceType.TOPIC, topic("admin"))
    resource.add_incremental_config(ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET))
    for future in ADMIN.incremental_alter_configs([resource]).values():
        future.result()

    def described():
        asked = ConfigResource(ResourceType.TOPIC, topic("admin"))
        return next(iter(ADMIN.describe_configs([asked]).values())).result()

    await_that("retention.ms", lambda: described()["retention.ms"].value == "3600000")
    equal(described()["cleanup.policy"].value, "delete")


@step("admin-partitions")
def _():
    ADMIN.create_partitions([NewPartitions(topic("admin"), 5)])[topic("admin")].result()
    await_that("five partitions", lambda: len(metadata("admin").partitions) == 5)


def codec(name):
    create(name, 1)
    values = [(f"{name} record {n} " * 40).encode() for n in range(500)]
    produce(Producer(config(compression_type=name, linger_ms=50)), name, values)
    equal([message.value() for message in read_all(name, len(values))], values)


for codec_name in ["none", "gzip", "snappy", "lz4", "zstd"]:
    step("codec-" + codec_name)(lambda codec_name=codec_name: codec(codec_name))


@step("headers")
def _():
    create("headers", 1)
    headers = [("twice", b"first"), ("other", b""), ("twice", b"second"), ("nothing", None)]
    produce(Producer(config()), "headers", [b"value"], headers=headers)
    equal(read_all("headers", 1)[0].headers(), headers)


@step("timestamps")
def _():
    create("timestamps", 1)
    start = int(time.time() * 1000) - 100_000
    producer = Producer(config())
    for n in range(10):
        produce(producer, "timestamps", [b"%d" % n], timestamp=start + n * 1000)
    equal([message.timestamp()[1] for message in read_all("timestamps", 10)], [start + n * 1000 for n in range(10)])
    consumer = Consumer(config(group_id=topic("reader")))
    found = consumer.offsets_for_times([TopicPartition(topic("timestamps"), 0, start + 3500)], timeout=10)[0]
    equal(found.offset, 4)
    equal(consumer.get_watermark_offsets(TopicPartition(topic("timestamps"), 0), timeout=10), (0, 10))
    consumer.close()


@step("large-record")
def _():
    create("large", 1)
    value = noise(900_000)
    produce(Producer(config()), "large", [value])
    check(read_all("large", 1)[0].value() == value, "the large record came back changed")


@step("too-large")
def _():
    create("too-large", 1)
    try:
        produce(Producer(config(message_max_bytes=10_000_000)), "too-large", [noise(2_000_000)])
        raise AssertionError("a record of 2 MB was taken")
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.MSG_SIZE_TOO_LARGE)
    equal(produce(Producer(config()), "too-large", [b"small"]), [0])


@step("idempotent")
def _():
    create("idempotent", 1)
    producer = Producer(config(enable_idempotence=True, acks="all", batch_num_messages=10))
    values = [b"%d" % n for n in range(1000)]
    equal(produce(producer, "idempotent", values), list(range(1000)))
    equal([message.value() for message in read_all("idempotent", 1000)], values)


def read_in_group(count):
    """Reads `count` records as a member and commits up to there; also what was committed before."""
    consumer = Consumer(config(group_id=topic("group"), auto_offset_reset="earliest", enable_auto_commit=False))
    consumer.subscribe([topic("group")])
    values = []
    deadline = time.monotonic() + 60
    while len(values) < count and time.monotonic() < deadline:
        for message in consumer.consume(count - len(values), 0.2):
            if message.error():
                raise KafkaException(message.error())
            values.append(int(message.value()))
    partition = TopicPartition(topic("group"), 0)
    before = consumer.committed([partition], timeout=10)[0].offset
    consumer.commit(offsets=[TopicPartition(topic("group"), 0, values[-1] + 1)], asynchronous=False)
    equal(consumer.committed([partition], timeout=10)[0].offset, values[-1] + 1)
    consumer.close()
    return before, values


@step("group")
def _():
    create("group", 1)
    produce(Producer(config()), "group", [b"%d" % n for n in range(100)])
    _, first = read_in_group(50)
    before, second = read_in_group(50)
    equal(before, 50)
    equal(first + second, list(range(100)))


@step("admin-groups")
def _():
    def listed():
        return [group.group_id for group in ADMIN.list_consumer_groups().result().valid]

    check(topic("group") in listed(), f"groups are {listed()}")
    described = ADMIN.describe_consumer_groups([topic("group")])[topic("group")].result()
    equal(described.group_id, topic("group"))
    check(described.coordinator is not None, "no coordinator")
    asked = [ConsumerGroupTopicPartitions(topic("group"))]
    offsets = ADMIN.list_consumer_group_offsets(asked)[topic("group")].result()
    equal([p.offset for p in offsets.topic_partitions], [100])
    ADMIN.delete_consumer_groups([topic("group")])[topic("group")].result()
    await_that("the group to be gone", lambda: topic("group") not in listed())


@step("admin-delete-records")
def _():
    partition = TopicPartition(topic("idempotent"), 0, 400)
    result = next(iter(ADMIN.delete_records([partition]).values())).result()
    equal(result.low_watermark, 400)
    consumer = Consumer(config(group_id=topic("reader")))
    equal(consumer.get_watermark_offsets(TopicPartition(topic("idempotent"), 0), timeout=10), (400, 1000))
    consumer.close()


@step("admin-delete-topic")
def _():
    ADMIN.delete_topics([topic("admin")])[topic("admin")].result()
    await_that("the topic to be gone", lambda: metadata("admin") is None)


finish("confluent-kafka", f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})")
