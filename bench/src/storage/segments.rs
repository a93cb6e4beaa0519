//! The partitions' segment files, appended through the page cache by a few I/O threads.
//!
//! Segments grow, because Kafka's tools and our own recovery take everything up to the end of the
//! file for data; so each flush of one also commits the file system's journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// One partition's active segment.
pub struct Segment {
    file: File,
    end: AtomicU64,
}

impl Segment {
    /// Appends to the page cache.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, at)
    }

    /// Makes everything appended so far durable.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Creates one segment file per partition, each in a directory of its own as at rest.
pub fn create_segments(dir: &Path, partitions: usize) -> io::Result<Arc<Vec<Segment>>> {
    let mut segments = Vec::with_capacity(partitions);
    for partition in 0..partitions {
        let folder = dir.join(format!("topic-{partition}"));
        std::fs::create_dir(&folder)?;
        let file = File::create_new(folder.join("00000000000000000000.log"))?;
        segments.push(Segment {
            file,
            end: AtomicU64::new(0),
        });
    }
    Ok(Arc::new(segments))
}

/// Work for an I/O thread: the partitions `first, first + step, …`.
struct Job {
    first: usize,
    step: usize,
    payload: Option<Arc<Vec<u8>>>,
}

/// I/O threads that append to and flush many segments side by side.
pub struct FlushPool {
    jobs: Vec<Sender<Job>>,
    done: Receiver<io::Result<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl FlushPool {
    /// Starts `threads` I/O threads over the segments.
    pub fn start(segments: &Arc<Vec<Segment>>, threads: usize) -> Self {
        let (finished, done) = channel();
        let mut jobs = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..threads {
            let (sender, receiver) = channel::<Job>();
            let (segments, finished) = (Arc::clone(segments), finished.clone());
            handles.push(std::thread::spawn(move || {
                for job in receiver {
                    let result = serve(&segments, &job);
                    if finished.send(result).is_err() {
                        return;
                    }
                }
            }));
            jobs.push(sender);
        }
        Self {
            jobs,
            done,
            threads: handles,
        }
    }

    /// Appends `payload` (if any) to every segment and flushes every segment; returns when all are durable.
    pub fn append_and_flush(&self, payload: Option<&Arc<Vec<u8>>>) -> io::Result<()> {
        for (first, sender) in self.jobs.iter().enumerate() {
            let job = Job {
                first,
                step: self.jobs.len(),
                payload: payload.cloned(),
            };
            sender
                .send(job)
                .map_err(|_| io::Error::other("I/O thread is gone"))?;
        }
        for _ in &self.jobs {
            self.done
                .recv()
                .map_err(|_| io::Error::other("I/O thread is gone"))??;
        }
        Ok(())
    }
}

impl Drop for FlushPool {
    fn drop(&mut self) {
        self.jobs.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve(segments: &[Segment], job: &Job) -> io::Result<()> {
    let mine = || segments.iter().skip(job.first).step_by(job.step);
    if let Some(payload) = &job.payload {
        for segment in mine() {
            segment.append(payload)?;
        }
    }
    for segment in mine() {
        segment.flush()?;
    }
    Ok(())
}
