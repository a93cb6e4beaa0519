//! The simulated network: hosts, ports, connections, and what goes wrong with them.
//!
//! A connection behaves as TCP lets it: bytes of one direction arrive in order, in any pieces, after
//! any delay; or the connection ends at any byte. A dead process resets or closes, a host without
//! power says nothing at all, and one that has come back answers old connections with a reset.
//! Not here: datagrams, TLS.

mod link;
mod stream;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::clock::{Clock, Event, SECOND};
pub use stream::{SimListener, SimStream};

/// What one direction may hold: unsent, on its way and unread together.
const WINDOW: usize = 128 << 10;
/// How long a connection attempt waits for a host that says nothing.
const CONNECT_TIMEOUT: u64 = 10 * SECOND;
const EPHEMERAL_PORTS: u16 = 32_768;

/// Habits of the network, drawn per seed.
#[derive(Clone, Debug)]
pub struct NetOptions {
    /// Least one-way delay in nanoseconds.
    pub delay_min: u64,
    /// Mean of what is added to it, exponentially distributed.
    pub delay_mean: u64,
    /// Probability that an arriving piece finds its connection cut, at a random byte of the piece.
    pub cut_probability: f64,
    /// Probability that a write is taken only in part, and that a read is given only in part.
    pub short_probability: f64,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            delay_min: 20_000,
            delay_mean: 100_000,
            cut_probability: 0.0,
            short_probability: 0.1,
        }
    }
}

/// Something that happens on a link.
#[derive(Debug)]
pub enum NetEvent {
    /// A connection attempt reaches its host.
    Syn { connection: u64 },
    /// The answer to a connection attempt reaches the one who asked.
    Answer { connection: u64, accepted: bool },
    /// The front piece of a direction arrives.
    Arrive { connection: u64, direction: usize },
    /// A reset reaches the end that `direction` leads to.
    Reset { connection: u64, direction: usize },
    /// A connection attempt has waited long enough.
    GiveUp { connection: u64 },
}

enum Piece {
    Bytes(Bytes),
    Fin,
}

/// One direction of a connection: from end `d` to end `1 - d`.
#[derive(Default)]
struct Direction {
    on_the_way: VecDeque<(u64, Piece)>,
    on_the_way_bytes: usize,
    last_arrival: u64,
    received: BytesMut,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One end of a connection.
struct End {
    node: u32,
    /// The life of the node in which it was opened; an end does not outlive its process.
    life: u64,
    /// The task still holds the stream.
    open: bool,
    /// The other side was found dead.
    reset: bool,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Phase {
    Asking,
    /// In a backlog, or taken from it.
    Established,
    Refused(io::ErrorKind),
}

struct Connection {
    ends: [End; 2],
    directions: [Direction; 2],
    phase: Phase,
    port: u16,
    client_port: u16,
    connecting: Option<Waker>,
}

struct Bound {
    life: u64,
    backlog: VecDeque<u64>,
    waker: Option<Waker>,
}

struct Host {
    name: String,
    life: u64,
    /// The machine has power; its kernel answers even when no process runs.
    powered: bool,
}

#[derive(Default)]
struct State {
    options: NetOptions,
    hosts: BTreeMap<u32, Host>,
    bound: BTreeMap<(u32, u16), Bound>,
    connections: BTreeMap<u64, Connection>,
    connections_made: u64,
    ports_given: u16,
    /// Directed pairs over which nothing passes.
    blocked: BTreeSet<(u32, u32)>,
}

/// The network of a simulation.
#[derive(Clone)]
pub struct Net {
    clock: Clock,
    state: Rc<RefCell<State>>,
}

impl Net {
    /// A network without hosts.
    pub fn new(clock: Clock, options: NetOptions) -> Self {
        let state = State {
            options,
            ..State::default()
        };
        Self {
            clock,
            state: Rc::new(RefCell::new(state)),
        }
    }

    /// Adds a host under a name.
    pub fn add_host(&self, node: u32, name: &str) {
        let host = Host {
            name: name.to_owned(),
            life: 1,
            powered: true,
        };
        self.state.borrow_mut().hosts.insert(node, host);
    }

    /// Changes the habits from now on.
    pub fn set_options(&self, options: NetOptions) {
        self.state.borrow_mut().options = options;
    }

    /// Lets nothing pass from one host to another until it is healed; what is sent waits, as TCP
    /// repeats it.
    pub fn block(&self, from: u32, to: u32) {
        self.state.borrow_mut().blocked.insert((from, to));
    }

    /// Ends a blockade; what waited goes on its way.
    pub fn unblock(&self, from: u32, to: u32) {
        let mut state = self.state.borrow_mut();
        if !state.blocked.remove(&(from, to)) {
            return;
        }
        let delay = state.delay(&self.clock);
        for (number, connection) in &state.connections {
            if connection.phase == Phase::Asking && connection.route(0) == (from, to) {
                self.clock.after(
                    delay,
                    Event::Net(NetEvent::Syn {
                        connection: *number,
                    }),
                );
            }
            for direction in 0..2 {
                let waiting = connection.directions[direction].on_the_way.len();
                if connection.route(direction) == (from, to) {
                    for _ in 0..waiting {
                        self.clock.after(
                            delay,
                            Event::Net(NetEvent::Arrive {
                                connection: *number,
                                direction,
                            }),
                        );
                    }
                }
            }
        }
    }

    /// Cuts every connection between two hosts, each at whatever has arrived by now.
    pub fn cut(&self, one: u32, other: u32) {
        let numbers: Vec<u64> = {
            let state = self.state.borrow();
            let between = |c: &Connection| c.route(0) == (one, other) || c.route(0) == (other, one);
            state
                .connections
                .iter()
                .filter(|(_, c)| between(c))
                .map(|(number, _)| *number)
                .collect()
        };
        for number in numbers {
            self.reset(number, 0);
            self.reset(number, 1);
        }
    }

    /// The process of a host ends while its machine goes on: the kernel closes its ports; streams
    /// close as they are dropped.
    pub fn process_ends(&self, node: u32) {
        let unaccepted: Vec<u64> = {
            let mut state = self.state.borrow_mut();
            let mine: Vec<(u32, u16)> = state
                .bound
                .keys()
                .filter(|(bound, _)| *bound == node)
                .copied()
                .collect();
            mine.iter()
                .filter_map(|key| state.bound.remove(key))
                .flat_map(|bound| bound.backlog)
                .collect()
        };
        for number in unaccepted {
            self.close(number, 1);
        }
    }

    /// A host loses power: nothing it sent last is sure to arrive, and nobody is told anything.
    pub fn power_ends(&self, node: u32) {
        let mut state = self.state.borrow_mut();
        state.bound.retain(|(bound, _), _| *bound != node);
        if let Some(host) = state.hosts.get_mut(&node) {
            host.powered = false;
        }
        for connection in state.connections.values_mut() {
            for end in 0..2 {
                if connection.ends[end].node == node {
                    connection.ends[end].open = false;
                    let kept = self
                        .clock
                        .core()
                        .rng
                        .index(connection.directions[end].on_the_way.len() + 1);
                    connection.directions[end].on_the_way.truncate(kept);
                }
            }
        }
    }

    /// A new process may start on the host; connections of the life before are unknown to it.
    pub fn process_starts(&self, node: u32) {
        let mut state = self.state.borrow_mut();
        if let Some(host) = state.hosts.get_mut(&node) {
            host.life += 1;
            host.powered = true;
        }
    }

    /// Binds a port. Port 0 takes a free one.
    pub fn listen(&self, node: u32, port: u16) -> io::Result<SimListener> {
        let mut state = self.state.borrow_mut();
        let port = if port == 0 {
            state.free_port(node)
        } else {
            port
        };
        if state.bound.contains_key(&(node, port)) {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("port {port} is taken"),
            ));
        }
        let life = state.hosts.get(&node).map_or(0, |host| host.life);
        state.bound.insert(
            (node, port),
            Bound {
                life,
                backlog: VecDeque::new(),
                waker: None,
            },
        );
        drop(state);
        self.clock
            .note(format_args!("node {node} listens on {port}"));
        Ok(SimListener::new(self.clone(), node, life, port))
    }

    /// Starts a connection attempt; the future of [`SimStream::connected`] waits for its end.
    pub fn connect(&self, node: u32, host: &str, port: u16) -> io::Result<SimStream> {
        let mut state = self.state.borrow_mut();
        let Some(to) = state.resolve(node, host) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("host {host} has no address"),
            ));
        };
        let client_port = state.free_port(node);
        state.connections_made += 1;
        let number = state.connections_made;
        let life = |node: u32| state.hosts.get(&node).map_or(0, |host| host.life);
        let ends = [
            End {
                node,
                life: life(node),
                open: true,
                reset: false,
            },
            End {
                node: to,
                life: 0,
                open: false,
                reset: false,
            },
        ];
        let connection = Connection {
            ends,
            directions: Default::default(),
            phase: Phase::Asking,
            port,
            client_port,
            connecting: None,
        };
        state.connections.insert(number, connection);
        let delay = state.delay(&self.clock);
        drop(state);
        self.clock
            .after(delay, Event::Net(NetEvent::Syn { connection: number }));
        self.clock.after(
            CONNECT_TIMEOUT,
            Event::Net(NetEvent::GiveUp { connection: number }),
        );
        Ok(SimStream::new(self.clone(), number, 0))
    }

    fn address(node: u32, port: u16) -> SocketAddr {
        let [.., high, low] = node.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), port)
    }
}

impl State {
    fn delay(&self, clock: &Clock) -> u64 {
        self.options.delay_min + clock.core().rng.exponential(self.options.delay_mean)
    }

    fn free_port(&mut self, node: u32) -> u16 {
        loop {
            let port = EPHEMERAL_PORTS + self.ports_given % EPHEMERAL_PORTS;
            self.ports_given = self.ports_given.wrapping_add(1);
            if !self.bound.contains_key(&(node, port)) {
                return port;
            }
        }
    }

    /// A host by name, by address, or the asking host itself.
    fn resolve(&self, asking: u32, host: &str) -> Option<u32> {
        if matches!(host, "localhost" | "127.0.0.1" | "0.0.0.0" | "") {
            return Some(asking);
        }
        let named = |(node, known): (&u32, &Host)| {
            (known.name == host || Net::address(*node, 0).ip().to_string() == host).then_some(*node)
        };
        self.hosts.iter().find_map(named)
    }

    fn is_powered(&self, node: u32) -> bool {
        self.hosts.get(&node).is_some_and(|host| host.powered)
    }

    fn life(&self, node: u32) -> u64 {
        self.hosts.get(&node).map_or(0, |host| host.life)
    }
}

impl Connection {
    /// From which host to which a direction leads.
    fn route(&self, direction: usize) -> (u32, u32) {
        (self.ends[direction].node, self.ends[1 - direction].node)
    }
}
