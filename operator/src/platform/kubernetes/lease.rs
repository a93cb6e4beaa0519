//! One operator at a time: a Lease of the API server, held by renewing it.
//!
//! Invariant: who holds the lease stops before another can take it. Clocks of machines are not
//! compared: a lease is free when it did not change for its whole duration by the clock of who
//! waits. Times are those of Kubernetes' own controllers.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;

use super::names::MANAGER;

/// A lease that was not renewed for this long is free.
const DURATION: Duration = Duration::from_secs(15);
/// Who could not renew for this long gives up.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is renewed, or asked for.
const RETRY: Duration = Duration::from_secs(2);

/// See the module.
pub struct Leadership {
    leases: Api<Lease>,
    me: String,
    /// The version of the lease that was last seen to change, and when.
    seen: Option<(String, Instant)>,
}

/// What a lease allows.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It is ours, or free: write it.
    Take,
    /// Another holds it.
    Wait,
}

impl Leadership {
    /// Asks in `namespace`, as `me`: a name that no other operator has, in no other life.
    pub fn new(client: Client, namespace: &str, me: String) -> Leadership {
        Leadership {
            leases: Api::namespaced(client, namespace),
            me,
            seen: None,
        }
    }

    /// Completes when the lease is held.
    pub async fn acquire(&mut self) {
        let mut was_said = false;
        loop {
            match self.attempt().await {
                Ok(Verdict::Take) => return tracing::info!(me = self.me, "leads"),
                Ok(Verdict::Wait) if !was_said => {
                    was_said = true;
                    tracing::info!("another operator leads; waits");
                }
                Ok(Verdict::Wait) => {}
                Err(error) => tracing::warn!(%error, "the lease cannot be had, tries again"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews the lease. Completes when it is lost: whoever held it must end.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RETRY).await;
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left, self.attempt()).await {
                Ok(Ok(Verdict::Take)) => renewed = Instant::now(),
                Ok(Ok(Verdict::Wait)) => return tracing::error!("another operator took the lease"),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the lease cannot be renewed, tries again")
                }
                Err(_) => return tracing::error!("the lease could not be renewed in time"),
            }
        }
    }

    /// Gives the lease away, so that the next operator need not wait.
    pub async fn release(&self) {
        let Ok(mut lease) = self.leases.get(MANAGER).await else {
            return;
        };
        if let Some(spec) = lease.spec.as_mut().filter(|spec| is_of(spec, &self.me)) {
            spec.holder_identity = None;
            if let Err(error) = self.replace(&lease).await {
                tracing::warn!(%error, "the lease cannot be given away; it ends by itself");
            }
        }
    }

    async fn attempt(&mut self) -> Result<Verdict, kube::Error> {
        let now = MicroTime(Timestamp::now());
        let Some(mut lease) = self.leases.get_opt(MANAGER).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(MANAGER.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(LeaseSpec::default(), now)),
            };
            return self.wrote(self.leases.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.take().unwrap_or_default();
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        if self.judge(&spec, version, Instant::now()) == Verdict::Wait {
            return Ok(Verdict::Wait);
        }
        lease.spec = Some(self.spec(spec, now));
        // Refused when somebody wrote since: the version goes along.
        self.wrote(self.replace(&lease).await)
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, kube::Error> {
        let params = PostParams::default();
        self.leases.replace(MANAGER, &params, lease).await
    }

    fn wrote(&self, result: Result<Lease, kube::Error>) -> Result<Verdict, kube::Error> {
        match result {
            Ok(_) => Ok(Verdict::Take),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Verdict::Wait),
            Err(error) => Err(error),
        }
    }

    fn judge(&mut self, spec: &LeaseSpec, version: String, now: Instant) -> Verdict {
        if is_of(spec, &self.me)
            || spec
                .holder_identity
                .as_deref()
                .unwrap_or_default()
                .is_empty()
        {
            return Verdict::Take;
        }
        match &self.seen {
            Some((seen, since)) if *seen == version => {
                let declared = spec
                    .lease_duration_seconds
                    .map(|s| u64::try_from(s).unwrap_or(0));
                let duration = declared.map_or(DURATION, Duration::from_secs);
                if now.duration_since(*since) > duration {
                    Verdict::Take
                } else {
                    Verdict::Wait
                }
            }
            _ => {
                self.seen = Some((version, now));
                Verdict::Wait
            }
        }
    }

    fn spec(&self, before: LeaseSpec, now: MicroTime) -> LeaseSpec {
        let is_mine = is_of(&before, &self.me);
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: Some(DURATION.as_secs() as i32),
            acquire_time: before
                .acquire_time
                .filter(|_| is_mine)
                .or(Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(!is_mine)),
            ..before
        }
    }
}

fn is_of(spec: &LeaseSpec, me: &str) -> bool {
    spec.holder_identity.as_deref() == Some(me)
}
