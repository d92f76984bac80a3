"""Answers that are kept for an instance's life."""
