"""Tests of vendorsrv.check."""
