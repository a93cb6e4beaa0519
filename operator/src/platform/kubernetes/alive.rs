//! Which brokers serve, as Kafka knows it: a pod that is Ready was serving once.
//!
//! Not here: what a broker is that does not (`look`, the plan).

use std::collections::BTreeSet;

use ottla_client::net::NetRef;
use ottla_operator_plan::Address;

use crate::kafka::Kafka;

/// What Kafka said: the brokers that are registered and not fenced, or why nobody answers.
pub type Answer = Result<BTreeSet<i32>, String>;

/// See the module.
#[derive(Default)]
pub struct Alive {
    is_asked: bool,
    /// None until Kafka answered, or did not twice in a row.
    brokers: Option<BTreeSet<i32>>,
    /// How often in a row nobody answered.
    unanswered: u32,
}

impl Alive {
    /// Whether Kafka knows a broker as registered and not fenced, as it said last. Before it was asked
    /// there is no reason to doubt: an operator that has just begun does not take back what is said.
    pub fn has(&self, broker: i32) -> bool {
        let brokers = self.brokers.as_ref();
        brokers.is_none_or(|brokers| brokers.contains(&broker))
    }

    /// A broker's pod is not Ready: what was said of it before holds no more.
    pub fn forget(&mut self, broker: i32) {
        if let Some(brokers) = &mut self.brokers {
            brokers.remove(&broker);
        }
    }

    /// Asks one of `addresses`, once at a time; `tell` gets the answer. It is the first, the
    /// controller, who knows before the others; they are asked when it says nothing. Must be called
    /// inside a `LocalSet`.
    pub fn ask(&mut self, net: NetRef, addresses: &[Address], tell: impl FnOnce(Answer) + 'static) {
        let turn = (self.unanswered as usize).checked_rem(addresses.len());
        let one = turn.and_then(|turn| addresses.get(turn));
        let Some(one) = one.filter(|_| !self.is_asked) else {
            return;
        };
        self.is_asked = true;
        let kafka = Kafka::new(net, [one.clone()]);
        tokio::task::spawn_local(async move {
            let answer = kafka.alive().await;
            tell(answer.map_err(|error| error.to_string()));
        });
    }

    /// Takes in an answer; whether it was one. When nobody answers twice in a row, nobody is alive.
    pub fn answered(&mut self, answer: Answer) -> bool {
        self.is_asked = false;
        match answer {
            Ok(brokers) => {
                self.brokers = Some(brokers);
                self.unanswered = 0;
                true
            }
            Err(message) => {
                tracing::debug!(message, "Kafka does not say which brokers are alive");
                self.unanswered += 1;
                if self.unanswered > 1 {
                    self.brokers = Some(BTreeSet::new());
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silence_is_no_death() {
        let mut alive = Alive::default();
        assert!(alive.has(1), "before Kafka was asked");
        assert!(alive.answered(Ok(BTreeSet::from([0, 1]))));
        assert!(alive.has(1) && !alive.has(2));
        assert!(!alive.answered(Err("nobody listens".into())));
        assert!(alive.has(1), "after one silence");
        alive.answered(Err("nobody listens".into()));
        assert!(!alive.has(0) && !alive.has(1), "after two");
        alive.answered(Ok(BTreeSet::from([0])));
        assert!(alive.has(0) && !alive.has(1));
        alive.forget(0);
        assert!(!alive.has(0), "until Kafka says so once more");
    }
}
