//! TLS for both sides: version 1.3 only, with one crypto provider, chosen here once.
