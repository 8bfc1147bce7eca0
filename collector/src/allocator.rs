//! Who gives out memory.
//!
//! glibc's allocator took a quarter of the processor time of taking reports in, and after many laptops had
//! left it kept what lay between pieces that live on: two fifths of what they had taken, even when it was
//! told to trim. jemalloc keeps pieces of one size together, and gives back what was free for a second by
//! a thread of its own (`.cargo/config.toml`).

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
