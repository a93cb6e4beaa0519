// The tour of franz-go: `tour BOOTSTRAP PREFIX`. One line per step, tab-separated.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	bootstrap, prefix string
	failed            bool
	admin             *kadm.Client
)

func main() {
	bootstrap, prefix = os.Args[1], os.Args[2]
	fmt.Printf("CLIENT\tfranz-go\t%s\n", version())
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	must(err)
	admin = kadm.NewClient(client)

	step("admin-create", func(ctx context.Context) { create(ctx, "admin", 3) })
	step("admin-describe", func(ctx context.Context) {
		partitions := describe(ctx, "admin").Partitions
		equal(len(partitions), 3)
		for _, partition := range partitions {
			check(partition.Leader >= 0 && len(partition.ISR) == 1, fmt.Sprintf("leader and isr of %v", partition))
		}
	})
	step("admin-config", config)
	step("admin-partitions", func(ctx context.Context) {
		answers, err := admin.UpdatePartitions(ctx, 5, topic("admin"))
		must(err)
		must(answers.Error())
		await("five partitions", func() bool { return len(describe(ctx, "admin").Partitions) == 5 })
	})
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		step("codec-"+name, func(ctx context.Context) {
			create(ctx, name, 1)
			var sent []string
			for n := range 500 {
				sent = append(sent, strings.Repeat(fmt.Sprintf("%s record %d ", name, n), 40))
			}
			must(produce(ctx, name, records(sent), kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(50*time.Millisecond)))
			equal(values(readAll(ctx, name, len(sent))), sent)
		})
	}
	step("headers", func(ctx context.Context) {
		create(ctx, "headers", 1)
		headers := []kgo.RecordHeader{
			{Key: "twice", Value: []byte("first")}, {Key: "other", Value: []byte{}},
			{Key: "twice", Value: []byte("second")}, {Key: "nothing", Value: nil},
		}
		must(produce(ctx, "headers", []*kgo.Record{{Value: []byte("value"), Headers: headers}}))
		equal(readAll(ctx, "headers", 1)[0].Headers, headers)
	})
	step("timestamps", timestamps)
	step("large-record", func(ctx context.Context) {
		create(ctx, "large", 1)
		value := noise(900_000)
		must(produce(ctx, "large", []*kgo.Record{{Value: value}}, kgo.ProducerBatchCompression(kgo.NoCompression())))
		check(bytes.Equal(readAll(ctx, "large", 1)[0].Value, value), "the large record came back changed")
	})
	step("too-large", func(ctx context.Context) {
		create(ctx, "too-large", 1)
		err := produce(ctx, "too-large", []*kgo.Record{{Value: noise(2_000_000)}},
			kgo.ProducerBatchMaxBytes(10_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
		check(errors.Is(err, kerr.MessageTooLarge), fmt.Sprintf("refused with %v", err))
		small := []*kgo.Record{{Value: []byte("small")}}
		must(produce(ctx, "too-large", small))
		equal(small[0].Offset, int64(0))
	})
	step("idempotent", func(ctx context.Context) {
		create(ctx, "idempotent", 1)
		sent := records(numbers(0, 1000))
		must(produce(ctx, "idempotent", sent, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchMaxBytes(1024)))
		for n, record := range sent {
			equal(record.Offset, int64(n))
		}
		equal(values(readAll(ctx, "idempotent", 1000)), numbers(0, 1000))
	})
	step("group", group)
	step("admin-groups", groups)
	step("admin-delete-records", func(ctx context.Context) {
		var offsets kadm.Offsets
		offsets.AddOffset(topic("idempotent"), 0, 400, -1)
		answers, err := admin.DeleteRecords(ctx, offsets)
		must(err)
		must(answers.Error())
		started, err := admin.ListStartOffsets(ctx, topic("idempotent"))
		must(err)
		offset, _ := started.Lookup(topic("idempotent"), 0)
		equal(offset.Offset, int64(400))
	})
	step("admin-delete-topic", func(ctx context.Context) {
		answers, err := admin.DeleteTopics(ctx, topic("admin"))
		must(err)
		must(answers.Error())
		await("the topic to be gone", func() bool {
			topics, err := admin.ListTopics(ctx)
			must(err)
			return !topics.Has(topic("admin"))
		})
	})
	fmt.Println("END")
	if failed {
		os.Exit(1)
	}
}

func config(ctx context.Context) {
	value := "3600000"
	answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}, topic("admin"))
	must(err)
	_, err = answers.On(topic("admin"), nil)
	must(err)
	await("retention.ms", func() bool {
		described, err := admin.DescribeTopicConfigs(ctx, topic("admin"))
		must(err)
		resource, err := described.On(topic("admin"), nil)
		must(err)
		found := map[string]string{}
		for _, config := range resource.Configs {
			found[config.Key] = config.MaybeValue()
		}
		return found["retention.ms"] == "3600000" && found["cleanup.policy"] == "delete"
	})
}

func timestamps(ctx context.Context) {
	create(ctx, "timestamps", 1)
	start := time.Now().Add(-100 * time.Second).Truncate(time.Millisecond)
	var sent []*kgo.Record
	for n := range 10 {
		sent = append(sent, &kgo.Record{Value: []byte{byte(n)}, Timestamp: start.Add(time.Duration(n) * time.Second)})
	}
	for _, record := range sent {
		must(produce(ctx, "timestamps", []*kgo.Record{record}))
	}
	for n, record := range readAll(ctx, "timestamps", 10) {
		equal(record.Timestamp.UnixMilli(), start.Add(time.Duration(n)*time.Second).UnixMilli())
	}
	found, err := admin.ListOffsetsAfterMilli(ctx, start.UnixMilli()+3500, topic("timestamps"))
	must(err)
	offset, _ := found.Lookup(topic("timestamps"), 0)
	equal(offset.Offset, int64(4))
	equal(offset.Timestamp, start.UnixMilli()+4000)
}

func group(ctx context.Context) {
	create(ctx, "group", 1)
	must(produce(ctx, "group", records(numbers(0, 100))))
	read := readInGroup(ctx, 50)
	committed := committedOffset(ctx)
	equal(committed, int64(50))
	read = append(read, readInGroup(ctx, 50)...)
	equal(committedOffset(ctx), int64(100))
	equal(read, numbers(0, 100))
}

func readInGroup(ctx context.Context, count int) []string {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(topic("group")), kgo.ConsumeTopics(topic("group")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	must(err)
	defer client.Close()
	var read []*kgo.Record
	for len(read) < count {
		fetches := client.PollRecords(ctx, count-len(read))
		must(fetches.Err())
		read = append(read, fetches.Records()...)
	}
	must(client.CommitRecords(ctx, read...))
	return values(read)
}

func committedOffset(ctx context.Context) int64 {
	offsets, err := admin.FetchOffsets(ctx, topic("group"))
	must(err)
	offset, _ := offsets.Lookup(topic("group"), 0)
	return offset.At
}

func groups(ctx context.Context) {
	name := topic("group")
	listed := func() bool {
		groups, err := admin.ListGroups(ctx)
		must(err)
		_, found := groups[name]
		return found
	}
	check(listed(), "the group is not listed")
	described, err := admin.DescribeGroups(ctx, name)
	must(err)
	must(described.Error())
	equal(described[name].Group, name)
	_, err = admin.DeleteGroup(ctx, name)
	must(err)
	await("the group to be gone", func() bool { return !listed() })
}

// --- what the steps share

func topic(name string) string { return prefix + name }

func create(ctx context.Context, name string, partitions int32) {
	answer, err := admin.CreateTopic(ctx, partitions, -1, nil, topic(name))
	must(err)
	must(answer.Err)
	await("the topic "+name, func() bool { return len(describe(ctx, name).Partitions) == int(partitions) })
}

func describe(ctx context.Context, name string) kadm.TopicDetail {
	topics, err := admin.ListTopics(ctx, topic(name))
	must(err)
	return topics[topic(name)]
}

func produce(ctx context.Context, name string, records []*kgo.Record, options ...kgo.Opt) error {
	options = append(options, kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic(name)))
	client, err := kgo.NewClient(options...)
	must(err)
	defer client.Close()
	return client.ProduceSync(ctx, records...).FirstErr()
}

func readAll(ctx context.Context, name string, count int) []*kgo.Record {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumeTopics(topic(name)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(err)
	defer client.Close()
	var read []*kgo.Record
	for len(read) < count {
		fetches := client.PollFetches(ctx)
		must(fetches.Err())
		read = append(read, fetches.Records()...)
	}
	ended, err := admin.ListEndOffsets(ctx, topic(name))
	must(err)
	offset, _ := ended.Lookup(topic(name), 0)
	equal(offset.Offset, int64(count))
	return read
}

func records(values []string) (records []*kgo.Record) {
	for _, value := range values {
		records = append(records, &kgo.Record{Key: []byte("k"), Value: []byte(value)})
	}
	return records
}

func values(records []*kgo.Record) (values []string) {
	for _, record := range records {
		values = append(values, string(record.Value))
	}
	return values
}

func numbers(from, to int) (numbers []string) {
	for n := from; n < to; n++ {
		numbers = append(numbers, strconv.Itoa(n))
	}
	return numbers
}

func noise(length int) []byte {
	bytes := make([]byte, length)
	rand.New(rand.NewSource(7)).Read(bytes)
	return bytes
}

func step(name string, run func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer func() {
		if problem := recover(); problem != nil {
			failed = true
			text := strings.NewReplacer("\t", " ", "\n", " ").Replace(fmt.Sprint(problem))
			fmt.Printf("STEP\t%s\tfailed\t%s\n", name, text)
			fmt.Fprintf(os.Stderr, "%s: %v\n%s\n", name, problem, debug.Stack())
			return
		}
		fmt.Printf("STEP\t%s\tok\n", name)
	}()
	run(ctx)
}

// Metadata spreads after the answer; a condition that never holds is the failure.
func await(what string, holds func() bool) {
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			panic("waited in vain for " + what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, what string) {
	if !holds {
		panic(what)
	}
}

func equal(actual, expected any) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("got %.200s, expected %.200s", fmt.Sprint(actual), fmt.Sprint(expected)))
	}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "unknown"
}
