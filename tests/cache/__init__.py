"""Tests of vendorsrv.cache."""
