"""Tests of vendorsrv.contract."""
