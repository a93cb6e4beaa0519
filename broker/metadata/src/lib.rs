//! Metadata records to image to delta, and the controller's decisions: pure.
