"""Benchmarks: they print ratios between contenders of the same run, and never fail."""
