"""Tests of vendorsrv.nova."""
