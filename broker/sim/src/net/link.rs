//! What happens when something arrives, and when it does not.

use std::io;
use std::task::Waker;

use bytes::Bytes;

use super::{Net, NetEvent, Phase, Piece, State};
use crate::clock::Event;

impl Net {
    /// Lets one event happen.
    pub fn apply(&self, event: NetEvent) {
        let wakers = match event {
            NetEvent::Syn { connection } => self.syn(connection),
            NetEvent::Answer {
                connection,
                accepted,
            } => self.answer(connection, accepted),
            NetEvent::Arrive {
                connection,
                direction,
            } => self.arrive(connection, direction),
            NetEvent::Reset {
                connection,
                direction,
            } => self.reset_arrives(connection, direction),
            NetEvent::GiveUp { connection } => {
                self.end_attempt(connection, io::ErrorKind::TimedOut)
            }
        };
        for waker in wakers {
            waker.wake();
        }
    }

    fn syn(&self, number: u64) -> Vec<Waker> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let Some(connection) = state.connections.get_mut(&number) else {
            return Vec::new();
        };
        let (from, to) = connection.route(0);
        let (powered, life) = state
            .hosts
            .get(&to)
            .map_or((false, 0), |host| (host.powered, host.life));
        if connection.phase != Phase::Asking || state.blocked.contains(&(from, to)) || !powered {
            return Vec::new();
        }
        let bound = state.bound.get_mut(&(to, connection.port));
        self.clock.trace(
            "syn",
            &[
                number,
                u64::from(from),
                u64::from(to),
                u64::from(bound.is_some()),
            ],
            &[],
        );
        let mut wakers = Vec::new();
        let accepted = bound.is_some();
        if let Some(bound) = bound {
            connection.ends[1].life = life;
            connection.ends[1].open = true;
            bound.backlog.push_back(number);
            wakers.extend(bound.waker.take());
        }
        let delay = state.delay(&self.clock);
        self.clock.after(
            delay,
            Event::Net(NetEvent::Answer {
                connection: number,
                accepted,
            }),
        );
        wakers
    }

    fn answer(&self, number: u64, accepted: bool) -> Vec<Waker> {
        if !accepted {
            return self.end_attempt(number, io::ErrorKind::ConnectionRefused);
        }
        let mut state = self.state.borrow_mut();
        match state.connections.get_mut(&number) {
            Some(connection) if connection.phase == Phase::Asking => {
                connection.phase = Phase::Established;
                connection.connecting.take().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn end_attempt(&self, number: u64, kind: io::ErrorKind) -> Vec<Waker> {
        let mut state = self.state.borrow_mut();
        match state.connections.get_mut(&number) {
            Some(connection) if connection.phase == Phase::Asking => {
                connection.phase = Phase::Refused(kind);
                connection.connecting.take().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn arrive(&self, number: u64, direction: usize) -> Vec<Waker> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let Some(connection) = state.connections.get_mut(&number) else {
            return Vec::new();
        };
        let now = self.clock.now();
        let (from, to) = connection.route(direction);
        let due = connection.directions[direction]
            .on_the_way
            .front()
            .is_some_and(|(at, _)| *at <= now);
        if !due || state.blocked.contains(&(from, to)) {
            return Vec::new();
        }
        let Some((_, piece)) = connection.directions[direction].on_the_way.pop_front() else {
            return Vec::new();
        };
        let length = if let Piece::Bytes(bytes) = &piece {
            bytes.len()
        } else {
            0
        };
        connection.directions[direction].on_the_way_bytes -= length;
        let receiver = &connection.ends[1 - direction];
        let alive = receiver.open
            && state
                .hosts
                .get(&to)
                .is_some_and(|host| host.life == receiver.life);
        if !state.hosts.get(&to).is_some_and(|host| host.powered) {
            return Vec::new();
        }
        if !alive {
            // Nobody holds that end any more: the kernel of the host says so.
            let delay = state.delay(&self.clock);
            self.clock.after(
                delay,
                Event::Net(NetEvent::Reset {
                    connection: number,
                    direction: 1 - direction,
                }),
            );
            return Vec::new();
        }
        let cut = {
            let mut core = self.clock.core();
            let probability = state.options.cut_probability;
            (length > 0 && probability > 0.0 && core.rng.chance(probability))
                .then(|| core.rng.index(length))
        };
        let target = &mut connection.directions[direction];
        let mut arrived: Bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Fin => {
                target.ended = true;
                Bytes::new()
            }
        };
        if let Some(at) = cut {
            arrived.truncate(at);
        }
        self.clock
            .trace("arrive", &[number, direction as u64], &arrived);
        target.received.extend_from_slice(&arrived);
        let mut wakers: Vec<Waker> = target.reader.take().into_iter().collect();
        if cut.is_some() {
            self.clock.note(format_args!(
                "connection {number} between {from} and {to} is cut"
            ));
            for end in 0..2 {
                wakers.extend(state.mark_reset(number, end));
            }
        }
        state.forget_if_dead(number);
        wakers
    }

    fn reset_arrives(&self, number: u64, direction: usize) -> Vec<Waker> {
        let mut state = self.state.borrow_mut();
        let Some(connection) = state.connections.get(&number) else {
            return Vec::new();
        };
        let (from, to) = connection.route(direction);
        if state.blocked.contains(&(from, to)) {
            return Vec::new();
        }
        self.clock.trace("reset", &[number, direction as u64], &[]);
        state.mark_reset(number, 1 - direction)
    }

    /// Resets an end at once.
    pub(super) fn reset(&self, number: u64, end: usize) {
        let wakers = self.state.borrow_mut().mark_reset(number, end);
        self.clock
            .note(format_args!("connection {number} is reset at end {end}"));
        for waker in wakers {
            waker.wake();
        }
    }

    /// The stream of an end is dropped by a process whose machine goes on.
    pub(super) fn close(&self, number: u64, end: usize) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let Some(connection) = state.connections.get_mut(&number) else {
            return;
        };
        let node = connection.ends[end].node;
        let was_open = std::mem::replace(&mut connection.ends[end].open, false);
        if was_open && connection.phase != Phase::Asking && state.is_powered(node) {
            let connection = state
                .connections
                .get_mut(&number)
                .expect("looked up above, nothing was removed");
            let unread = !connection.directions[1 - end].received.is_empty();
            if unread {
                let delay = state.delay(&self.clock);
                self.clock.after(
                    delay,
                    Event::Net(NetEvent::Reset {
                        connection: number,
                        direction: end,
                    }),
                );
            } else {
                self.send(state, number, end, Piece::Fin);
            }
        }
        state.forget_if_dead(number);
    }

    /// Puts a piece on its way, behind all that went before.
    pub(super) fn send(&self, state: &mut State, number: u64, direction: usize, piece: Piece) {
        let delay = state.delay(&self.clock);
        let Some(connection) = state.connections.get_mut(&number) else {
            return;
        };
        let direction_state = &mut connection.directions[direction];
        let at = direction_state.last_arrival.max(self.clock.now() + delay);
        direction_state.last_arrival = at;
        if let Piece::Bytes(bytes) = &piece {
            direction_state.on_the_way_bytes += bytes.len();
        }
        direction_state.on_the_way.push_back((at, piece));
        self.clock.core().schedule(
            at,
            Event::Net(NetEvent::Arrive {
                connection: number,
                direction,
            }),
        );
    }
}

impl State {
    fn mark_reset(&mut self, number: u64, end: usize) -> Vec<Waker> {
        let Some(connection) = self.connections.get_mut(&number) else {
            return Vec::new();
        };
        connection.ends[end].reset = true;
        connection.directions[end].on_the_way.clear();
        connection.directions[end].on_the_way_bytes = 0;
        let wakers = [
            connection.directions[end].writer.take(),
            connection.directions[1 - end].reader.take(),
        ];
        self.forget_if_dead(number);
        wakers.into_iter().flatten().collect()
    }

    /// A connection that no stream and no piece refers to is gone.
    fn forget_if_dead(&mut self, number: u64) {
        let Some(connection) = self.connections.get(&number) else {
            return;
        };
        let held = |end: usize| {
            connection.ends[end].open
                && self.life(connection.ends[end].node) == connection.ends[end].life
        };
        let moving = connection
            .directions
            .iter()
            .any(|direction| !direction.on_the_way.is_empty());
        if !held(0) && !held(1) && !moving && connection.phase != Phase::Asking {
            self.connections.remove(&number);
        }
    }
}
