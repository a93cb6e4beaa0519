//! The broker process: listener, handlers, partitions, controller, on the runtime seam.
