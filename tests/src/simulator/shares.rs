//! The declared shares of the fleet: what a test may count on, and where a number comes from.
//!
//! The shares of batteries follow 96 laptops whose own battery reports were published; the shares
//! of trouble are higher than a good year's, so that a hundred laptops show some of each.

/// Laptops whose clock is wrong by more than ten minutes.
pub const WRONG_CLOCKS: f64 = 0.03;

/// Laptops that were imaged from another's disk.
pub const CLONES: f64 = 0.04;

/// Laptops whose drives are dropped and shaken, so that each fails within two years.
pub const FRAIL_DRIVES: f64 = 0.12;

/// Failing drives that show no sign before; about a third of failures in Backblaze's statistics.
pub const SILENT_FAILURES: f64 = 0.35;

/// Batteries whose firmware always says the capacity of a new one: 8 of 96.
pub const FROZEN_FIRMWARE: f64 = 0.08;

/// Batteries whose firmware moves the design capacity along with the full one: 11 of 96.
pub const MIRROR_FIRMWARE: f64 = 0.12;

/// Batteries whose firmware jumps when it measures anew: a third of 96.
pub const JUMPING_FIRMWARE: f64 = 0.33;

/// Batteries that count their cycles: 42 of 96.
pub const COUNTED_CYCLES: f64 = 0.44;

/// Laptops that do not charge though the charger is connected.
pub const BROKEN_PORTS: f64 = 0.02;

/// Laptops whose disk becomes full before somebody cleans up.
pub const FULL_DISKS: f64 = 0.10;

/// Laptops whose pupils keep a disk that is nearly full from filling up, by deleting something again and again.
pub const KEPT_DISKS: f64 = 0.08;

/// Laptops that get large files at once, by the dozen.
pub const BURSTY_DISKS: f64 = 0.20;

/// Laptops with dust in their fans.
pub const HOT_LAPTOPS: f64 = 0.02;

/// Laptops with each one of the other faults that come and are repaired: about one in 400 gets each in a month.
pub const OTHER_FAULTS: f64 = 0.007_5;

/// Evenings on which somebody else's smaller charger is used.
pub const BORROWED_CHARGERS: f64 = 0.03;

/// Laptops whose updates fail for months.
pub const FAILING_UPDATES: f64 = 0.04;

/// Laptops without an encrypted disk.
pub const UNENCRYPTED: f64 = 0.08;

/// Homes with an unsteady network.
pub const FLAKY_HOMES: f64 = 0.14;

/// Homes where a filter opens TLS.
pub const FILTERED_HOMES: f64 = 0.02;

/// Homes without a network.
pub const HOMES_WITHOUT: f64 = 0.04;
