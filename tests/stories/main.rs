//! Stories, end to end, with the real binaries.
