//! Carries out plans on a platform and reports status.
