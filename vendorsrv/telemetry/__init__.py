"""Metrics, logs and the event loop's watchdog.

Other packages use ``metrics.Metrics``, ``logs.set_up_logging``.
"""
