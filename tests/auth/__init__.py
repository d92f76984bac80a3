"""Tests of vendorsrv.auth."""
