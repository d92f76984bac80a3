"""The demo: a real Keystone, the server and two boots."""
