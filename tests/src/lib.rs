//! What the end-to-end stories are told with: real processes, real servers and simulated laptops.

pub mod bench;
pub mod desk;
pub mod rig;
pub mod simulator;
pub mod stages;
