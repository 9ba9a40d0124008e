//! sysctl.
