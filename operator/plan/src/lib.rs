//! Observed state and spec to a plan: pure.
