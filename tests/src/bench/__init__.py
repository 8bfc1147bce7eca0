"""What `tests/bench` is made of: Python's standard library, and `rollcall-bench` for what is fast."""
