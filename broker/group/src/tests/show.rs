//! Replies and records to transcript lines.

use super::EPOCH_MS;
use crate::{Record, Response};
use bytes::Bytes;
use ottla_protocol::ErrorCode;
use std::fmt::Write;

fn shorten(text: &str) -> String {
    match text.split_once("-00000000-0000-4000-8000-") {
        Some((client, number)) => format!("{client}#{}", u64::from_str_radix(number, 16).unwrap()),
        None => text.to_owned(),
    }
}

fn text(bytes: &Bytes) -> String {
    bytes
        .iter()
        .map(|byte| {
            if byte.is_ascii_graphic() {
                *byte as char
            } else {
                '.'
            }
        })
        .collect()
}

pub(crate) fn show_record(record: &Record) -> String {
    use crate::record::{Entry, decode};
    match decode(&record.key, record.value.as_ref()).unwrap() {
        Entry::Offset(key, None) => {
            format!("offset {}/{}-{} gone", key.group, key.topic, key.partition)
        }
        Entry::Offset(key, Some(value)) => {
            let mut line = format!(
                "offset {}/{}-{} = {}",
                key.group, key.topic, key.partition, value.offset
            );
            if !value.metadata.is_empty() {
                write!(line, " {:?}", &*value.metadata).unwrap();
            }
            write!(line, " at {}", value.commit_timestamp - EPOCH_MS).unwrap();
            if value.expire_timestamp != -1 {
                write!(line, " expires {}", value.expire_timestamp - EPOCH_MS).unwrap();
            }
            line
        }
        Entry::Group(group, None) => format!("group {group} gone"),
        Entry::Group(group, Some(value)) => {
            let members = value.members.iter().map(|member| {
                format!(
                    "{}={}",
                    shorten(&member.member_id),
                    text(&member.assignment)
                )
            });
            format!(
                "group {group} gen={} protocol={} leader={} [{}]",
                value.generation,
                value.protocol.as_deref().unwrap_or("-"),
                shorten(value.leader.as_deref().unwrap_or("-")),
                members.collect::<Vec<_>>().join(" "),
            )
        }
        Entry::Other(record_type) => format!("type {record_type}"),
    }
}

pub(crate) fn show_response(response: &Response) -> String {
    match response {
        Response::Join(join) if join.error_code != ErrorCode::NONE => {
            format!("join {} me={}", join.error_code, shorten(&join.member_id))
        }
        Response::Join(join) => {
            let members = join
                .members
                .iter()
                .map(|member| format!("{}={}", shorten(&member.member_id), text(&member.metadata)));
            format!(
                "joined gen={} {} leader={} me={} [{}]{}",
                join.generation_id,
                join.protocol_name.as_deref().unwrap_or("-"),
                shorten(&join.leader),
                shorten(&join.member_id),
                members.collect::<Vec<_>>().join(" "),
                if join.skip_assignment { " skip" } else { "" },
            )
        }
        Response::Sync(sync) => {
            format!("sync {} {}", sync.error_code, text(&sync.assignment))
        }
        Response::Heartbeat(heartbeat) => format!("heartbeat {}", heartbeat.error_code),
        Response::Leave(leave) => {
            let members = leave.members.iter().map(|member| {
                let instance = member
                    .group_instance_id
                    .as_ref()
                    .map(|instance| format!("/{instance}"))
                    .unwrap_or_default();
                format!(
                    " {}{instance}={}",
                    shorten(&member.member_id),
                    member.error_code
                )
            });
            format!("leave {}{}", leave.error_code, members.collect::<String>())
        }
        Response::OffsetCommit(commit) => {
            let partitions = commit.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |partition| {
                    format!(
                        " {}-{}={}",
                        topic.name, partition.partition_index, partition.error_code
                    )
                })
            });
            format!("commit{}", partitions.collect::<String>())
        }
        Response::OffsetFetch(fetch) => {
            let partitions = fetch.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |partition| {
                    let metadata = partition
                        .metadata
                        .as_deref()
                        .filter(|metadata| !metadata.is_empty());
                    let metadata = metadata
                        .map(|metadata| format!("/{metadata}"))
                        .unwrap_or_default();
                    let error = if partition.error_code == ErrorCode::NONE {
                        String::new()
                    } else {
                        format!(" {}", partition.error_code)
                    };
                    format!(
                        " {}-{}={}{metadata}{error}",
                        topic.name, partition.partition_index, partition.committed_offset
                    )
                })
            });
            format!(
                "fetch {}{}",
                fetch.error_code,
                partitions.collect::<String>()
            )
        }
        Response::OffsetDelete(delete) => {
            let partitions = delete.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(move |partition| {
                    format!(
                        " {}-{}={}",
                        topic.name, partition.partition_index, partition.error_code
                    )
                })
            });
            format!(
                "delete-offsets {}{}",
                delete.error_code,
                partitions.collect::<String>()
            )
        }
        Response::Describe(group) => {
            let members = group.members.iter().map(|member| {
                format!(
                    " {}({}{})={}/{}",
                    shorten(&member.member_id),
                    member.client_id,
                    member.client_host,
                    text(&member.member_metadata),
                    text(&member.member_assignment)
                )
            });
            format!(
                "{} {} {} type={:?} protocol={:?}{}",
                group.group_id,
                group.error_code,
                group.group_state,
                &*group.protocol_type,
                &*group.protocol_data,
                members.collect::<String>()
            )
        }
        Response::DeleteGroup(delete) => format!("delete {}", delete.error_code),
        Response::List(Ok(groups)) => {
            let groups = groups.iter().map(|group| {
                format!(
                    " {}({}, {}, {})",
                    group.group_id, group.group_state, group.group_type, group.protocol_type
                )
            });
            format!("list{}", groups.collect::<String>())
        }
        Response::List(Err(error)) => format!("list {}", error),
    }
}
