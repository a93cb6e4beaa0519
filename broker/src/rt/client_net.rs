//! The client crate's view of the world, given by a shard's runtime: so that links to other nodes run
//! in the simulator like everything else.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use ottla_client::net::{LocalFuture, Net, NetRef, Stream};

use super::{Rt, sleep};

/// `rt` as the client wants it.
pub fn client_net(rt: &Rt) -> NetRef {
    Rc::new(ShardNet(Rc::clone(rt)))
}

struct ShardNet(Rt);

impl Net for ShardNet {
    fn spawn(&self, task: LocalFuture<'static, ()>) {
        self.0.spawn(task);
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now().nanos())
    }

    fn wall_clock_ms(&self) -> i64 {
        self.0.wall_clock_ms()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<'static, ()> {
        sleep(&self.0, duration)
    }

    fn connect(&self, host: &str, port: u16) -> LocalFuture<'static, io::Result<Box<dyn Stream>>> {
        let connecting = self.0.connect(host, port);
        Box::pin(async move { Ok(Box::new(connecting.await?) as Box<dyn Stream>) })
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}
