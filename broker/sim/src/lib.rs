//! Whole brokers under a simulated network, disk and clock, driven by one seed.
