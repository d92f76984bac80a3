"""Benchmarks: each prints figures with their goals; a missed goal is reported and is not an error."""
