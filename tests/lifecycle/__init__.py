"""Tests of vendorsrv.lifecycle."""
