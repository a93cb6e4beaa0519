//! What is made of stores, made again when their files change, without a restart and without touching connections that are open.
//!
//! Files are looked at when somebody needs the result (a handshake), at most [`CHECK_EVERY`]. A look follows symbolic links, so that
//! a Secret of Kubernetes, whose files are swapped by one link, is seen. Invariant: there is always a result; what changed and cannot
//! be used is told once, and the last good result stays. Not here: what is made (a configuration of either side).

use super::certificate::Certificate;
use super::material::{Material, TlsError};
use ottla_settings::{KeyStore, TlsSettings, TrustStore};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Least time between two looks at the files.
pub const CHECK_EVERY: Duration = Duration::from_secs(1);

type Make<T> = fn(&TlsSettings, &Material) -> Result<T, TlsError>;

/// A result and the files that it stands on.
pub struct Reloading<T> {
    whose: String,
    settings: TlsSettings,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    /// Of the own leaf certificate.
    names: Option<Certificate>,
    seen: Vec<Option<Stamp>>,
    checked: Option<Duration>,
}

/// What changes when a file, or where a link leads, does: device, inode, size, and both times in nanoseconds.
type Stamp = (u64, u64, u64, i128, i128);

struct Loaded<T> {
    result: T,
    names: Option<Certificate>,
}

impl<T> Reloading<T> {
    /// Makes the first. `whose` stands in logs. Errors: the stores cannot be used.
    pub fn new(whose: &str, settings: TlsSettings, make: Make<T>) -> Result<Self, TlsError> {
        // Looked at before reading: a change in between is seen next time.
        let seen = stamps(&settings);
        let loaded = load(&settings, make)?;
        Ok(Self {
            whose: whose.to_owned(),
            make,
            state: Mutex::new(State {
                current: Arc::new(loaded.result),
                names: loaded.names,
                seen,
                checked: None,
            }),
            settings,
        })
    }

    /// The newest good one. `now` is any monotonic time, the same on every call.
    pub fn current(&self, now: Duration) -> Arc<T> {
        let mut state = self.lock();
        let is_due = state
            .checked
            .is_none_or(|checked| now.saturating_sub(checked) >= CHECK_EVERY);
        if is_due {
            state.checked = Some(now);
            self.look(&mut state);
        }
        Arc::clone(&state.current)
    }

    fn look(&self, state: &mut State<T>) {
        let stamps = stamps(&self.settings);
        if stamps == state.seen {
            return;
        }
        state.seen = stamps;
        let whose = &self.whose;
        let loaded = load(&self.settings, self.make).and_then(|loaded| {
            self.may_follow(state.names.as_ref(), loaded.names.as_ref())?;
            Ok(loaded)
        });
        match loaded {
            Ok(loaded) => {
                let subject = loaded.names.as_ref().map_or("", |names| &names.subject);
                tracing::info!(%whose, subject, "TLS stores have changed; new connections use them");
                state.current = Arc::new(loaded.result);
                state.names = loaded.names;
            }
            Err(error) => {
                tracing::error!(%whose, %error, "TLS stores have changed and cannot be used; going on with the last good ones");
            }
        }
    }

    /// `ssl.allow.dn.changes`, `ssl.allow.san.changes`: unless they say so, a renewed certificate names whom the one before named, and
    /// has all its alternative names.
    fn may_follow(
        &self,
        old: Option<&Certificate>,
        new: Option<&Certificate>,
    ) -> Result<(), TlsError> {
        let (Some(old), Some(new)) = (old, new) else {
            return Ok(());
        };
        if !self.settings.allows_dn_changes && old.subject != new.subject {
            return Err(TlsError::OtherName {
                key: "ssl.allow.dn.changes",
                found: new.subject.clone(),
                expected: old.subject.clone(),
            });
        }
        let keeps = new.alternative_names.is_superset(&old.alternative_names);
        if !self.settings.allows_san_changes && !keeps {
            return Err(TlsError::OtherName {
                key: "ssl.allow.san.changes",
                found: format!("{} alternative names", new.alternative_names.len()),
                expected: "all of the alternative names so far".to_owned(),
            });
        }
        Ok(())
    }

    /// A thread that panicked inside has left a whole state: its fields are replaced one by one, each of use by itself.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn load<T>(settings: &TlsSettings, make: Make<T>) -> Result<Loaded<T>, TlsError> {
    let material = Material::read(settings)?;
    let result = make(settings, &material)?;
    let leaf = material
        .identity
        .as_ref()
        .and_then(|identity| identity.chain.first());
    // Cannot fail: the same bytes have just been taken for TLS.
    let names = leaf.and_then(|leaf| Certificate::parse(leaf).ok());
    Ok(Loaded { result, names })
}

fn stamps(settings: &TlsSettings) -> Vec<Option<Stamp>> {
    let key_store = match &settings.key_store {
        Some(KeyStore::File(path)) => Some(path),
        _ => None,
    };
    let trust_store = match &settings.trust_store {
        Some(TrustStore::File(path)) => Some(path),
        _ => None,
    };
    let paths = key_store.into_iter().chain(trust_store);
    paths.map(|path| stamp(path)).collect()
}

/// `None` for a file that is not there: that is a change, too.
fn stamp(path: &str) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    let nanos = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    Some((
        file.dev(),
        file.ino(),
        file.size(),
        nanos(file.mtime(), file.mtime_nsec()),
        nanos(file.ctime(), file.ctime_nsec()),
    ))
}
