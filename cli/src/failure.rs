//! How a command fails: cause, next step, exit code.

use std::fmt;

use ottla_client::{ClientError, ConnectionError, Failure as Refused};
use ottla_operator::platform::local::LinkError;

/// Something failed that no other code tells.
pub const OTHER: u8 = 1;
/// The command or a manifest is wrong.
pub const USAGE: u8 = 2;
/// What was asked for does not exist.
pub const NOT_FOUND: u8 = 3;
/// What was asked for contradicts what is there.
pub const CONFLICT: u8 = 4;
/// Not allowed.
pub const DENIED: u8 = 5;
/// It took too long, or nobody answered.
pub const TIMEOUT: u8 = 6;
/// Some of it was done.
pub const PARTIAL: u8 = 7;

/// A failed command.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// Why; more than one line when there is more than one cause.
    pub causes: Vec<String>,
    /// What to do.
    pub next: Option<String>,
}

/// What every command gives.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// A failure with one cause.
    pub fn new(code: u8, cause: impl Into<String>) -> Failure {
        Failure {
            code,
            causes: vec![cause.into()],
            next: None,
        }
    }

    /// With the next step.
    pub fn next(mut self, next: impl Into<String>) -> Failure {
        self.next = Some(next.into());
        self
    }

    /// Tells the user.
    pub fn print(&self) {
        for cause in &self.causes {
            eprintln!("error: {cause}");
        }
        if let Some(next) = &self.next {
            eprintln!("{next}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.causes.join("; "))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::new(io_code(&error), error.to_string())
    }
}

fn io_code(error: &std::io::Error) -> u8 {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => NOT_FOUND,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => DENIED,
        ErrorKind::InvalidInput | ErrorKind::IsADirectory | ErrorKind::NotADirectory => USAGE,
        ErrorKind::TimedOut => TIMEOUT,
        _ => OTHER,
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Failure {
        let code = match &error {
            LinkError::None(_) => NOT_FOUND,
            LinkError::Start(_) | LinkError::Broke(_) => OTHER,
            LinkError::Folder { error, .. } | LinkError::Io(error) => io_code(error),
        };
        let failure = Failure::new(code, error.to_string());
        match error {
            LinkError::Folder { .. } => failure.next("--dir names another place for clusters."),
            _ => failure,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let code = client_code(&error);
        match &error {
            ClientError::Refused { failure, .. } => Failure {
                code,
                causes: vec![told(failure)],
                next: next_step(failure),
            },
            ClientError::NoBroker { attempts }
                if attempts
                    .iter()
                    .any(|attempt| matches!(attempt, ConnectionError::Tls { .. })) =>
            {
                Failure::new(DENIED, error.to_string())
                    .next("--command-config names a file with security.protocol and ssl.*.")
            }
            ClientError::NoBroker { .. } => Failure::new(code, error.to_string())
                .next("Is the cluster up? `ottla status` tells, `ottla up FILE` starts one."),
            ClientError::Address(_) => Failure::new(code, error.to_string())
                .next("Write host and port, such as localhost:9092; several with commas between."),
            _ => Failure::new(code, error.to_string()),
        }
    }
}

/// A refusal of Kafka's in words: the broker's own when it has any, else what its code means.
pub fn told(refused: &Refused) -> String {
    let name = refused.error.name().unwrap_or("an unknown error");
    let meaning = match name {
        "UNKNOWN_TOPIC_OR_PARTITION" => "there is no such topic",
        "TOPIC_ALREADY_EXISTS" => "the topic exists already",
        "GROUP_ID_NOT_FOUND" => "there is no such group",
        "NON_EMPTY_GROUP" => "the group has members",
        "KAFKA_STORAGE_ERROR" => "a broker's disk is full or has failed",
        "GROUP_SUBSCRIBED_TO_TOPIC" => "the group's members read the topic",
        "INVALID_TOPIC_EXCEPTION" => {
            "a topic's name has letters, digits, '.', '_' and '-', and at most 249 of them"
        }
        _ => "",
    };
    match (refused.message.as_deref().unwrap_or_default(), meaning) {
        ("", "") => name.to_owned(),
        ("", meaning) => format!("{meaning} ({name})"),
        (words, _) => format!("{} ({name})", words.trim_end_matches('.')),
    }
}

/// What to do after a refusal.
pub fn next_step(refused: &Refused) -> Option<String> {
    let text = match refused.error.name()? {
        "UNKNOWN_TOPIC_OR_PARTITION" => "`ottla topic list` shows what there is.",
        "TOPIC_ALREADY_EXISTS" => {
            "`ottla topic describe NAME` shows it, `ottla topic alter NAME` changes it."
        }
        "GROUP_ID_NOT_FOUND" => "`ottla group list` shows what there is.",
        "KAFKA_STORAGE_ERROR" => {
            "The broker's log says which; on a full disk writes go on by themselves when there is room."
        }
        "NON_EMPTY_GROUP" => "Stop its consumers first; `ottla group describe NAME` shows them.",
        _ => return None,
    };
    Some(text.to_owned())
}

fn client_code(error: &ClientError) -> u8 {
    match error {
        ClientError::Address(_) => USAGE,
        ClientError::UnknownBroker(_) => NOT_FOUND,
        ClientError::NoBroker { .. } | ClientError::Connection(_) => TIMEOUT,
        error => match error.code() {
            Some(code) => refused_code(code.name().unwrap_or_default()),
            None if matches!(error, ClientError::GaveUp { .. }) => TIMEOUT,
            None => OTHER,
        },
    }
}

/// The exit code for an error code of Kafka's, by its name.
pub fn refused_code(name: &str) -> u8 {
    match name {
        "UNKNOWN_TOPIC_OR_PARTITION"
        | "UNKNOWN_TOPIC_ID"
        | "GROUP_ID_NOT_FOUND"
        | "RESOURCE_NOT_FOUND" => NOT_FOUND,
        "TOPIC_ALREADY_EXISTS"
        | "NON_EMPTY_GROUP"
        | "GROUP_SUBSCRIBED_TO_TOPIC"
        | "DUPLICATE_RESOURCE"
        | "REBALANCE_IN_PROGRESS"
        | "UNKNOWN_MEMBER_ID" => CONFLICT,
        "REQUEST_TIMED_OUT"
        | "NOT_ENOUGH_REPLICAS"
        | "LEADER_NOT_AVAILABLE"
        | "COORDINATOR_NOT_AVAILABLE" => TIMEOUT,
        name if name.starts_with("INVALID_") || name.starts_with("UNSUPPORTED_") => USAGE,
        "POLICY_VIOLATION" => DENIED,
        name if name.ends_with("_AUTHORIZATION_FAILED") => DENIED,
        _ => OTHER,
    }
}
