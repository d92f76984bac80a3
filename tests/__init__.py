"""The tests; the ones against real peers are in tests/peers."""
