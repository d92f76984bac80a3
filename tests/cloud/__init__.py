"""Tests with a whole OpenStack (``make test-cloud``)."""
