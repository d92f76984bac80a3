"""Helpers of the tests with real peers."""
