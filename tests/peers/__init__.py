"""Tests against the real Keystone and the real Nova."""
