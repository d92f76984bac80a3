"""Tests of vendorsrv.handlers."""
