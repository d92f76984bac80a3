"""Tests of vendorsrv.telemetry."""
