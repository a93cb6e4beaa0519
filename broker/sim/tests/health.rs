//! What the liveness probe of a whole broker is told, from the same desk that HTTP asks in production: a disk that
//! fails and a loop that has ended are said in words, and neither a start nor an orderly stop is an illness.

use std::cell::RefCell;
use std::rc::Rc;

use ottla_broker::config::Config;
use ottla_broker::management::{Question, Stage, Vitals, answer};
use ottla_broker::rt::Rt;
use ottla_broker::rt::client_net::client_net;
use ottla_broker::start::{Broker, start_in_view};
use ottla_broker_sim::{DiskFault, FaultPoint, NodeHandle, Options, SECOND, Sim, run};
use ottla_client::admin::NewTopic;
use ottla_client::{Admin, ClientConfig};
use tokio::sync::{mpsc, oneshot};

const PROPERTIES: &str = "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=broker-1:9093
listeners=PLAINTEXT://broker-1:9092,CONTROLLER://broker-1:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=/data/broker
";

/// A broker and what its desk can be asked through.
struct Watched {
    node: NodeHandle,
    questions: mpsc::UnboundedSender<Question>,
    vitals: Rc<Vitals>,
    broker: Rc<RefCell<Option<Broker>>>,
}

impl Watched {
    fn start(sim: &Sim) -> (Self, oneshot::Receiver<()>) {
        let node = sim.add_node("broker-1");
        let (questions, asked) = mpsc::unbounded_channel();
        let (started, is_started) = oneshot::channel();
        let watched = Self {
            node,
            questions,
            vitals: Rc::default(),
            broker: Rc::default(),
        };
        let (vitals, broker) = (Rc::clone(&watched.vitals), Rc::clone(&watched.broker));
        sim.start(node, async move |rt: Rt| {
            rt.spawn(Box::pin(answer(Rc::clone(&vitals), asked)));
            let config =
                Config::from_properties(PROPERTIES, &[], Vec::new(), "broker-1".to_owned());
            let config = config.expect("the properties are good");
            let running = start_in_view(&rt, config, &vitals).await;
            broker.replace(Some(running.expect("nothing stands in its way")));
            // The test may have gone.
            let _ = started.send(());
            std::future::pending::<()>().await;
        });
        (watched, is_started)
    }

    async fn health(&self) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        assert!(self.questions.send(Question::Health(reply)).is_ok());
        answer.await.expect("the desk answers")
    }
}

#[test]
fn a_disk_that_fails_is_an_illness() {
    run(1, Options::default(), async move |sim| {
        let (watched, is_started) = Watched::start(&sim);
        assert_eq!(watched.health().await, Ok(()), "a start is none");
        is_started.await.expect("it starts");
        assert_eq!(watched.health().await, Ok(()));

        let client = sim.add_node("client");
        let rt = sim.runtime(client);
        let disk = sim.disk(watched.node);
        disk.inject(FaultPoint::Sync, "", 0, 1, DiskFault::Error);
        rt.spawn(Box::pin(write_something(Rc::clone(&rt))));
        let mut health = watched.health().await;
        for _ in 0..100 {
            if health.is_err() {
                break;
            }
            sim.sleep(SECOND / 10).await;
            health = watched.health().await;
        }
        let reason = health.expect_err("the disk failed");
        assert!(
            reason.contains("the log directory /data/broker is out of use"),
            "{reason}"
        );
    });
}

/// Its outcome does not matter: the disk has to be written to.
async fn write_something(rt: Rt) {
    let config = ClientConfig {
        bootstrap_servers: vec![("broker-1".to_owned(), 9092)],
        ..ClientConfig::default()
    };
    let topic = NewTopic {
        name: "t".into(),
        partitions: Some(1),
        replication_factor: Some(1),
        ..NewTopic::default()
    };
    let admin = Admin::new(client_net(&rt), config);
    let _ = admin.create_topics(vec![topic], false).await;
}

#[test]
fn a_loop_that_has_ended_is_an_illness_unless_a_stop_was_asked_for() {
    run(2, Options::default(), async move |sim| {
        let (watched, is_started) = Watched::start(&sim);
        is_started.await.expect("it starts");
        let broker = watched.broker.borrow_mut().take();
        broker.expect("it runs").stop().await;
        assert_eq!(
            watched.health().await,
            Err("the owner of partitions has ended".to_owned())
        );
        watched.vitals.reach(Stage::Stopping);
        assert_eq!(watched.health().await, Ok(()));
    });
}
