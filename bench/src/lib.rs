//! Side-by-side benchmark: ideal server, replayer, storage and runtime shapes.
