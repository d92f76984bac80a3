"""What is counted and written down: metrics, logs, the watchdog."""
