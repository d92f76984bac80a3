"""Tests of vendorsrv.pins."""
