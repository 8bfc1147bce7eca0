//! Evaluate: from what is known of a device to alerts.

pub mod book;
pub mod calendar;
pub mod condition;
pub mod device;
pub mod forecast;
pub mod rules;
