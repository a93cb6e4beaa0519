//! The listener over real sockets of the loopback interface, with a shard that says what the test wants.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ottla_settings::Address;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn anywhere() -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port: 0,
    }
}

fn process() -> Process {
    Process::new(Default::default())
}

/// A listener whose shard is healthy or says why not.
fn open_with(limits: Limits, health: Result<(), &'static str>) -> SocketAddr {
    let (address, mut questions) =
        open_within(&anywhere(), limits, process()).expect("a free port");
    std::thread::spawn(move || {
        while let Some(question) = questions.blocking_recv() {
            match question {
                Question::Health(reply) => drop(reply.send(health.map_err(str::to_owned))),
                Question::Look(reply) => drop(reply.send(desk::Look {
                    stage: Stage::Starting("being tested"),
                    node: None,
                })),
                Question::Metrics(reply) => drop(reply.send(None)),
            }
        }
    });
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, LIMIT).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    stream
}

/// What comes back until the other side closes; a reset is a close too.
fn rest_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection was not closed: {error}"),
    }
    String::from_utf8(answer).expect("headers and text")
}

fn request(address: SocketAddr, line: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "{line} HTTP/1.1\r\nHost: test\r\n\r\n").expect("it reads");
    rest_of(&mut stream)
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).expect("a status line")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("headers end").1
}

#[test]
fn each_path_and_method_has_its_answer() {
    let address = open_with(Limits::default(), Ok(()));
    for (line, code, text) in [
        ("GET /healthz", "200", "ok\n"),
        ("HEAD /healthz", "200", ""),
        ("GET /readyz", "503", "the broker is being tested\n"),
        ("POST /healthz", "405", "only GET and HEAD\n"),
        (
            "GET /",
            "404",
            "there is nothing here; the paths are /healthz, /readyz, /metrics\n",
        ),
    ] {
        let answer = request(address, line);
        assert_eq!((status(&answer), body(&answer)), (code, text), "{line}");
    }
    let refused = request(address, "DELETE /readyz").to_lowercase();
    assert!(refused.contains("allow: get, head"), "{refused}");
}

#[test]
fn a_shard_that_is_ill_or_gone_is_told_in_words() {
    let address = open_with(Limits::default(), Err("the log directory /d is out of use"));
    let answer = request(address, "GET /healthz");
    assert_eq!(status(&answer), "503");
    assert_eq!(body(&answer), "the log directory /d is out of use\n");

    let (address, questions) =
        open_within(&anywhere(), Limits::default(), process()).expect("a free port");
    drop(questions);
    let answer = request(address, "GET /healthz");
    assert_eq!(status(&answer), "503");
    assert_eq!(body(&answer), "the broker's loop has ended\n");
}

#[test]
fn silent_and_garbage_clients_hold_nothing() {
    let limits = Limits {
        time: Duration::from_millis(100),
        connections: 2,
    };
    let address = open_with(limits, Ok(()));
    // More than there are places, and none ever sends a whole request.
    let mut silent: Vec<TcpStream> = (0..4).map(|_| connect(address)).collect();
    silent[0].write_all(b"GET /healthz HTT").expect("it reads");
    let answer = request(address, "GET /healthz");
    assert_eq!(status(&answer), "200");
    for stream in &mut silent {
        assert_eq!(rest_of(stream), "");
    }
    let mut garbage = connect(address);
    // A closed connection while this is written is as good an answer.
    let _ = garbage.write_all(&[0xff; 4096]);
    let answer = rest_of(&mut garbage);
    assert!(answer.is_empty() || status(&answer) == "400", "{answer}");
}

#[test]
fn a_taken_port_is_said_with_what_to_do() {
    let (address, _questions) =
        open_within(&anywhere(), Limits::default(), process()).expect("a free port");
    let taken = Address {
        host: "127.0.0.1".to_owned(),
        port: address.port(),
    };
    let error = open(&taken, process()).err().map(|error| error.to_string());
    let error = error.expect("the port is taken");
    assert!(error.contains("another process has the port"), "{error}");
    assert!(error.contains("ottla.metrics.listener"), "{error}");
}
