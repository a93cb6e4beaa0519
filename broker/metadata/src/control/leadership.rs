//! How one partition changes: who leaves the ISR, who stays eligible, who leads. Every decision that
//! touches leadership is computed here and comes out as one PartitionChangeRecord.
//!
//! Rules (KIP-966, KIP-704, KIP-858): the current leader stays if it may; else the first replica that is
//! acceptable and in the ISR (in the ELR if the ISR is empty) leads; else, with ELR on, the last known
//! leader; else, where the topic allows it, any acceptable replica. The last two are unclean: the ISR
//! becomes the new leader alone and the partition is marked as recovering. Brokers that leave an ISR
//! which is smaller than min.insync.replicas become eligible leader replicas.
//! Not here: which partitions to look at (broker_state.rs, elections.rs, alter_partition.rs).

use crate::image::{DIRECTORY_UNASSIGNED, NO_LEADER, PartitionRef};
use crate::replay::NO_LEADER_CHANGE;
use ottla_protocol::Uuid;
use ottla_protocol::metadata_records::PartitionChangeRecord;

/// How far an election may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Election {
    /// The first replica if it may lead; else as `Online`.
    Preferred,
    /// Keep the partition online with an in-sync (or eligible) replica.
    Online,
    /// As `Online`, but any live replica is better than none.
    Unclean,
}

/// One partition's change under computation: start with [`Change::new`], set targets, then `build`.
pub(crate) struct Change<'a> {
    topic: Uuid,
    index: i32,
    before: PartitionRef<'a>,
    rules: Rules,
    /// May this broker lead, as of the state that the decision leads to?
    acceptable: &'a dyn Fn(i32) -> bool,
    /// Directory for a replica that is new to the partition.
    default_directory: &'a dyn Fn(i32) -> Uuid,
    pub(crate) election: Election,
    pub(crate) isr: Vec<i32>,
    pub(crate) replicas: Vec<i32>,
    pub(crate) removing: Vec<i32>,
    pub(crate) adding: Vec<i32>,
    pub(crate) recovering: bool,
    /// A broker that came back without what it had acknowledged: it may not stay eligible.
    pub(crate) lost_data: Option<i32>,
    /// New directories by broker.
    pub(crate) directories: Vec<(i32, Uuid)>,
}

/// What the topic and the cluster prescribe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) elr_enabled: bool,
    /// min.insync.replicas, not above the replication factor.
    pub(crate) min_isr: usize,
}

impl<'a> Change<'a> {
    pub(crate) fn new(
        (topic, index): (Uuid, i32),
        before: PartitionRef<'a>,
        rules: Rules,
        acceptable: &'a dyn Fn(i32) -> bool,
        default_directory: &'a dyn Fn(i32) -> Uuid,
    ) -> Self {
        Self {
            topic,
            index,
            before,
            rules,
            acceptable,
            default_directory,
            election: Election::Online,
            isr: before.isr.to_vec(),
            replicas: before.replicas.to_vec(),
            removing: before.removing.to_vec(),
            adding: before.adding.to_vec(),
            recovering: before.leader_recovering,
            lost_data: None,
            directories: Vec::new(),
        }
    }

    /// The record, or `None` if nothing changes.
    pub(crate) fn build(mut self) -> Option<PartitionChangeRecord> {
        let mut record = PartitionChangeRecord {
            topic_id: self.topic,
            partition_id: self.index,
            leader: NO_LEADER_CHANGE,
            ..Default::default()
        };
        self.complete_reassignment();
        let mut elr = self.eligible();

        let (leader, unclean) = self.elect(&elr);
        if leader != self.before.leader {
            record.leader = leader;
            if unclean {
                record.isr = Some(vec![leader]);
                self.recovering = true;
            } else if elr.contains(&leader) {
                self.isr = vec![leader];
                elr.retain(|replica| *replica != leader);
            }
        }
        // A replica that is no longer assigned must stop fetching at once: a new leader epoch fences it.
        if record.leader == NO_LEADER_CHANGE
            && self
                .before
                .replicas
                .iter()
                .any(|replica| !self.replicas.contains(replica))
        {
            record.leader = self.before.leader;
        }
        if record.isr.is_some() || !self.rules.elr_enabled {
            elr.clear();
        }
        if elr != self.before.elr {
            record.eligible_leader_replicas = Some(elr);
        }
        // Without ELR an ISR never becomes empty: the last member stays in it although it is gone.
        if record.isr.is_none()
            && (!self.isr.is_empty() || self.rules.elr_enabled)
            && self.isr != self.before.isr
        {
            record.isr = Some(self.isr.clone());
        }
        self.remember_last_leader(&mut record);
        self.assignment(&mut record);
        if self.recovering != self.before.leader_recovering {
            record.leader_recovery_state = i8::from(self.recovering);
        }
        let nothing = PartitionChangeRecord {
            topic_id: self.topic,
            partition_id: self.index,
            leader: NO_LEADER_CHANGE,
            ..Default::default()
        };
        (record != nothing).then_some(record)
    }

    /// A reassignment is complete when all adding replicas are in sync and, where it shrinks the partition,
    /// all that stay (else finishing early would shrink the ISR for nothing): the removing ones go.
    fn complete_reassignment(&mut self) {
        if self.adding.is_empty() && self.removing.is_empty() {
            return;
        }
        let isr: Vec<i32> = self
            .isr
            .iter()
            .copied()
            .filter(|replica| !self.removing.contains(replica))
            .collect();
        let replicas: Vec<i32> = self
            .replicas
            .iter()
            .copied()
            .filter(|replica| !self.removing.contains(replica))
            .collect();
        let awaited = if self.adding.len() < self.removing.len() {
            &replicas
        } else {
            &self.adding
        };
        let complete = !isr.is_empty()
            && !replicas.is_empty()
            && awaited
                .iter()
                .chain(&self.adding)
                .all(|replica| isr.contains(replica));
        if complete {
            self.isr = isr;
            self.replicas = replicas;
            self.removing.clear();
            self.adding.clear();
        }
    }

    /// Eligible leader replicas: with an ISR below the minimum, all that were in sync or eligible before,
    /// but for those in the new ISR and the one that lost data.
    fn eligible(&self) -> Vec<i32> {
        if !self.rules.elr_enabled {
            return self.before.elr.to_vec();
        }
        if self.isr.len() >= self.rules.min_isr {
            return Vec::new();
        }
        let mut elr: Vec<i32> = self
            .before
            .elr
            .iter()
            .chain(self.before.isr)
            .copied()
            .collect();
        elr.retain(|replica| !self.isr.contains(replica) && Some(*replica) != self.lost_data);
        elr.sort_unstable();
        elr.dedup();
        elr
    }

    /// The leader and whether the election is unclean.
    fn elect(&self, elr: &[i32]) -> (i32, bool) {
        let in_sync = |replica: i32| {
            self.isr.contains(&replica) || (self.isr.is_empty() && elr.contains(&replica))
        };
        let may_lead = |replica: i32| in_sync(replica) && (self.acceptable)(replica);
        if self.election == Election::Preferred
            && self
                .replicas
                .first()
                .is_some_and(|preferred| may_lead(*preferred))
        {
            return (self.replicas[0], false);
        }
        if may_lead(self.before.leader) {
            return (self.before.leader, false);
        }
        if let Some(leader) = self
            .replicas
            .iter()
            .copied()
            .find(|replica| may_lead(*replica))
        {
            return (leader, false);
        }
        if let &[last_leader] = self.before.last_known_elr
            && self.rules.elr_enabled
            && self.isr.is_empty()
            && elr.is_empty()
            && (self.acceptable)(last_leader)
        {
            return (last_leader, true);
        }
        let alive = self
            .replicas
            .iter()
            .copied()
            .find(|replica| (self.acceptable)(*replica));
        match alive {
            Some(leader) if self.election == Election::Unclean => (leader, true),
            _ => (NO_LEADER, false),
        }
    }

    fn remember_last_leader(&self, record: &mut PartitionChangeRecord) {
        if !self.rules.elr_enabled {
            return;
        }
        if record.leader == NO_LEADER && self.before.last_known_elr.is_empty() {
            record.last_known_elr = Some(vec![self.before.leader]);
        } else if record.leader >= 0 && !self.before.last_known_elr.is_empty() {
            record.last_known_elr = Some(Vec::new());
        }
    }

    fn assignment(&self, record: &mut PartitionChangeRecord) {
        let directory_of = |replica: &i32| {
            let chosen = self
                .directories
                .iter()
                .find(|(broker, _)| broker == replica)
                .map(|(_, directory)| *directory);
            chosen
                .or_else(|| self.before.directory_of(*replica))
                .unwrap_or_else(|| (self.default_directory)(*replica))
        };
        let directories: Vec<Uuid> = self.replicas.iter().map(directory_of).collect();
        if directories != self.before.directories {
            record.directories = Some(directories);
        }
        if self.replicas != self.before.replicas {
            record.replicas = Some(self.replicas.clone());
        }
        if self.removing != self.before.removing {
            record.removing_replicas = Some(self.removing.clone());
        }
        if self.adding != self.before.adding {
            record.adding_replicas = Some(self.adding.clone());
        }
    }
}

/// The directory of a replica on a broker that nobody knows: it will say when it registers.
pub(crate) const UNKNOWN_BROKER_DIRECTORY: Uuid = DIRECTORY_UNASSIGNED;
