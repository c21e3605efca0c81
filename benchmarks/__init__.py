"""Benchmarks against peers on the same encoder weights and the same texts; `python -m benchmarks --help`."""
