"""Metrics, logs and the event loop's watchdog."""
