"""Tests of vendorsrv.database."""
