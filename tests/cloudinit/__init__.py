"""Tests of vendorsrv.cloudinit."""
