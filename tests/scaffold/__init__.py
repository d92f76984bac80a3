"""Tests of vendorsrv.scaffold."""
