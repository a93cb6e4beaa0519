//! What ListGroups and DescribeGroups show of a group.

use crate::call::ListFilter;
use crate::classic::member::Member;
use crate::classic::{ClassicGroup, Phase};
use ottla_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use ottla_protocol::messages::list_groups_response::ListedGroup;
use ottla_protocol::{ErrorCode, Str};

/// The type of these groups in ListGroups (KIP-848).
const TYPE: &str = "classic";
/// A group that is not there is told as Dead, an error only since v6 (KIP-1043).
const GROUP_ID_NOT_FOUND_FROM: i16 = 6;

impl ClassicGroup {
    pub(crate) fn list(&self, filter: &ListFilter) -> Option<ListedGroup> {
        let passes = |allowed: &[Str], name: &str| {
            allowed.is_empty() || allowed.iter().any(|one| one.eq_ignore_ascii_case(name))
        };
        if !passes(&filter.states, self.state_name()) || !passes(&filter.types, TYPE) {
            return None;
        }
        Some(ListedGroup {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            group_state: self.state_name().into(),
            group_type: TYPE.into(),
            ..Default::default()
        })
    }

    /// Metadata and assignments are shown in a stable group only; before, they belong to no generation.
    pub(crate) fn describe(&self) -> DescribedGroup {
        let stable = self.phase == Phase::Stable;
        let protocol = self.protocol.clone().filter(|_| stable).unwrap_or_default();
        let member = |member: &Member| DescribedGroupMember {
            member_id: member.id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            member_metadata: if stable {
                member.metadata(&protocol)
            } else {
                bytes::Bytes::new()
            },
            member_assignment: if stable {
                member.assignment.clone()
            } else {
                bytes::Bytes::new()
            },
            ..Default::default()
        };
        DescribedGroup {
            group_id: self.id.clone(),
            group_state: self.state_name().into(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_data: protocol.clone(),
            members: self.members.iter().map(member).collect(),
            ..Default::default()
        }
    }
}

/// The description of a group that is not there.
pub(crate) fn describe_absent(version: i16, group_id: &Str) -> DescribedGroup {
    let not_found = version >= GROUP_ID_NOT_FOUND_FROM;
    DescribedGroup {
        group_id: group_id.clone(),
        group_state: "Dead".into(),
        error_code: if not_found {
            ErrorCode::GROUP_ID_NOT_FOUND
        } else {
            ErrorCode::NONE
        },
        error_message: not_found.then(|| Str::from(format!("Group {group_id} not found."))),
        ..Default::default()
    }
}
