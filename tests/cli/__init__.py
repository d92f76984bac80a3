"""Tests of vendorsrv.cli."""
