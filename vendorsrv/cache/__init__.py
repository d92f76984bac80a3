"""Answers that are kept for a time."""
