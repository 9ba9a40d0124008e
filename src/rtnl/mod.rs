//! rtnl.
