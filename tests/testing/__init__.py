"""Tests of vendorsrv.testing."""
