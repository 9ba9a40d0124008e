//! Commands for people.

pub mod doctor;
