//! The store of containers.
