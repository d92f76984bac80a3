"""Handlers whose answers come from other vendordata servers.

Other packages use ``handler.Proxy``.
"""
