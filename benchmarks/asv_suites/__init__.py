"""Suites for airspeed velocity: `time_`, `peakmem_` and `track_` benchmarks (docs/project/development.md says how to run them).

`setup` compiles, so that times are of a second call; memory is of the whole process, JAX included.
"""
