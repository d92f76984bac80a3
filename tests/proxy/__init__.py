"""Tests of vendorsrv.proxy."""
