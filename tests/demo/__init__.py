"""Tests of vendorsrv.demo."""
