//! The Ottla broker as a process: listeners, handlers, partitions, coordinators and the controller,
//! all on the runtime seam of [`rt`]. The rooms below are the map; `run` is the way in.

pub mod rt;
