//! The means of loading a module.
