"""Handlers whose answers come from other vendordata servers."""
