"""The benchmarks of `scripts/bench`, one module each.

A benchmark has `add_options` and `measure`, which prints tables and returns the measurements of one
database. `harness` runs it, `processes` times commands, and `large_server` fills databases.
"""
