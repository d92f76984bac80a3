"""Tests of vendorsrv.server."""
