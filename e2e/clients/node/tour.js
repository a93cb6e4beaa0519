// The tour of kafkajs: `node tour.js BOOTSTRAP PREFIX`. One line per step, tab-separated. kafkajs
// brings gzip only; the other codecs are plugged in as its documentation shows.
const { createHash } = require('node:crypto');
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = require('kafkajs');
const lz4 = require('lz4-napi');
const snappy = require('snappyjs');
const zstd = require('@bokuweb/zstd-wasm');
const { version } = require('kafkajs/package.json');

const [bootstrap, prefix] = process.argv.slice(2);
const kafka = new Kafka({ clientId: 'tour', brokers: bootstrap.split(','), logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const topic = (name) => prefix + name;
let failed = false;

CompressionCodecs[CompressionTypes.Snappy] = () => ({
  compress: async (encoder) => snappy.compress(encoder.buffer),
  // Java frames snappy in blocks with a magic of 8 bytes and two versions.
  decompress: async (buffer) => (buffer.subarray(1, 7).toString() === 'SNAPPY' ? snappyBlocks(buffer) : snappy.uncompress(buffer)),
});
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: async (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
});

function snappyBlocks(buffer) {
  const blocks = [];
  for (let at = 16; at < buffer.length; ) {
    const length = buffer.readInt32BE(at);
    blocks.push(snappy.uncompress(buffer.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  return Buffer.concat(blocks);
}

async function main() {
  console.log(`CLIENT\tkafkajs\t${version}`);
  await zstd.init();
  await admin.connect();
  await step('admin-create', () => create('admin', 3));
  await step('admin-describe', async () => {
    const described = await describe('admin');
    equal(described.partitions.length, 3);
    for (const partition of described.partitions) {
      check(partition.leader >= 0 && partition.isr.length === 1, 'leader and isr of ' + JSON.stringify(partition));
    }
  });
  await step('admin-config', config);
  await step('admin-partitions', async () => {
    await admin.createPartitions({ topicPartitions: [{ topic: topic('admin'), count: 5 }] });
    await awaitThat('five partitions', async () => (await describe('admin')).partitions.length === 5);
  });
  for (const [name, compression] of [['none', 0], ['gzip', 1], ['snappy', 2], ['lz4', 3], ['zstd', 4]]) {
    await step('codec-' + name, async () => {
      await create(name, 1);
      const sent = range(500).map((n) => `${name} record ${n} `.repeat(40));
      await produce(name, sent.map((value) => ({ value })), { compression });
      equal((await readAll(name, 500)).map((message) => message.value.toString()), sent);
    });
  }
  await step('headers', headers);
  await step('timestamps', timestamps);
  await step('large-record', async () => {
    await create('large', 1);
    const value = noise(900_000);
    await produce('large', [{ value }]);
    check((await readAll('large', 1))[0].value.equals(value), 'the large record came back changed');
  });
  await step('too-large', async () => {
    await create('too-large', 1);
    const refused = await produce('too-large', [{ value: noise(2_000_000) }]).then(() => null, (error) => error);
    equal(refused && refused.type, 'MESSAGE_TOO_LARGE');
    equal((await produce('too-large', [{ value: 'small' }]))[0].baseOffset, '0');
  });
  await step('idempotent', async () => {
    await create('idempotent', 1);
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    for (let n = 0; n < 1000; n += 20) {
      const messages = range(20).map((m) => ({ value: String(n + m), partition: 0 }));
      equal((await producer.send({ topic: topic('idempotent'), messages, acks: -1 }))[0].baseOffset, String(n));
    }
    await producer.disconnect();
    equal((await readAll('idempotent', 1000)).map((message) => message.value.toString()), range(1000).map(String));
  });
  await step('group', group);
  await step('admin-groups', groups);
  await step('admin-delete-records', async () => {
    await admin.deleteTopicRecords({ topic: topic('idempotent'), partitions: [{ partition: 0, offset: '400' }] });
    const [offsets] = await admin.fetchTopicOffsets(topic('idempotent'));
    equal([offsets.low, offsets.high], ['400', '1000']);
  });
  await step('admin-delete-topic', async () => {
    await admin.deleteTopics({ topics: [topic('admin')] });
    await awaitThat('the topic to be gone', async () => !(await admin.listTopics()).includes(topic('admin')));
  });
  await admin.disconnect();
  console.log('END');
  process.exit(failed ? 1 : 0);
}

async function config() {
  const resource = { type: 2, name: topic('admin') };
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] });
  await awaitThat('retention.ms', async () => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] });
    const found = Object.fromEntries(resources[0].configEntries.map((entry) => [entry.configName, entry.configValue]));
    return found['retention.ms'] === '3600000' && found['cleanup.policy'] === 'delete';
  });
}

// kafkajs gives a header that occurs twice as a list, so the order between keys is lost in its API.
async function headers() {
  await create('headers', 1);
  await produce('headers', [{ value: 'value', headers: { twice: ['first', 'second'], other: '' } }]);
  const [message] = await readAll('headers', 1);
  equal(message.headers.twice.map(String), ['first', 'second']);
  equal(message.headers.other.toString(), '');
}

async function timestamps() {
  await create('timestamps', 1);
  const start = Date.now() - 100_000;
  await produce('timestamps', range(10).map((n) => ({ value: String(n), timestamp: String(start + n * 1000) })));
  equal((await readAll('timestamps', 10)).map((message) => Number(message.timestamp)), range(10).map((n) => start + n * 1000));
  const [found] = await admin.fetchTopicOffsetsByTimestamp(topic('timestamps'), start + 3500);
  equal(found.offset, '4');
}

async function group() {
  await create('group', 1);
  await produce('group', range(100).map((n) => ({ value: String(n) })));
  const first = await readInGroup(50);
  equal(await committed(), '50');
  const second = await readInGroup(50);
  equal(await committed(), '100');
  equal([...first, ...second], range(100).map(String));
}

async function readInGroup(count) {
  const values = [];
  const consumer = kafka.consumer({ groupId: topic('group') });
  await consume(consumer, 'group', (message) => {
    if (values.length < count) {
      values.push(message.value.toString());
    }
    return values.length === count;
  });
  const [last] = values.slice(-1);
  await consumer.commitOffsets([{ topic: topic('group'), partition: 0, offset: String(Number(last) + 1) }]);
  await consumer.disconnect();
  return values;
}

async function committed() {
  const [offsets] = await admin.fetchOffsets({ groupId: topic('group'), topics: [topic('group')] });
  return offsets.partitions[0].offset;
}

async function groups() {
  const listed = async () => (await admin.listGroups()).groups.some((group) => group.groupId === topic('group'));
  check(await listed(), 'the group is not listed');
  const { groups: described } = await admin.describeGroups([topic('group')]);
  equal([described[0].groupId, described[0].errorCode], [topic('group'), 0]);
  await admin.deleteGroups([topic('group')]);
  await awaitThat('the group to be gone', async () => !(await listed()));
}

// --- what the steps share

async function create(name, partitions) {
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: topic(name), numPartitions: partitions, replicationFactor: 1 }] });
  await awaitThat('the topic ' + name, async () => (await describe(name)).partitions.length === partitions);
}

async function describe(name) {
  return (await admin.fetchTopicMetadata({ topics: [topic(name)] })).topics[0];
}

async function produce(name, messages, options = {}) {
  const producer = kafka.producer({ retry: { retries: 3 } });
  await producer.connect();
  try {
    return await producer.send({ topic: topic(name), messages: messages.map((message) => ({ ...message, partition: 0 })), ...options });
  } finally {
    await producer.disconnect();
  }
}

// kafkajs reads in a group only; each reading has one of its own.
async function readAll(name, count) {
  const messages = [];
  const consumer = kafka.consumer({ groupId: topic('reader-' + name) });
  await consume(consumer, name, (message) => messages.push(message) === count);
  await consumer.disconnect();
  const [offsets] = await admin.fetchTopicOffsets(topic(name));
  equal(offsets.high, String(count));
  return messages;
}

async function consume(consumer, name, isLast) {
  await consumer.connect();
  await consumer.subscribe({ topics: [topic(name)], fromBeginning: true });
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no end of ' + name)), 60_000);
    consumer
      .run({
        autoCommit: false,
        eachMessage: async ({ message }) => {
          if (isLast(message)) {
            clearTimeout(timer);
            resolve();
          }
        },
      })
      .catch(reject);
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  });
}

function range(count) {
  return [...Array(count).keys()];
}

function noise(length) {
  const blocks = [];
  for (let n = 0; n * 64 < length; n += 1) {
    blocks.push(createHash('sha512').update(String(n)).digest());
  }
  return Buffer.concat(blocks).subarray(0, length);
}

async function step(name, run) {
  try {
    await run();
    console.log(`STEP\t${name}\tok`);
  } catch (error) {
    failed = true;
    console.log(`STEP\t${name}\tfailed\t${String(error).replace(/[\t\n]/g, ' ')}`);
    console.error(error);
  }
}

// Metadata spreads after the answer; a condition that never holds is the failure.
async function awaitThat(what, holds) {
  const deadline = Date.now() + 30_000;
  while (!(await holds())) {
    check(Date.now() < deadline, 'waited in vain for ' + what);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function check(holds, what) {
  if (!holds) {
    throw new Error(what);
  }
}

function equal(actual, expected) {
  const [a, e] = [actual, expected].map((value) => JSON.stringify(value) ?? String(value));
  check(a === e, `got ${a.slice(0, 200)}, expected ${e.slice(0, 200)}`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
