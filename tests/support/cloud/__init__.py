"""A whole small OpenStack on loopback, with vendorsrv as the vendordata target of its Nova.

``cloud.Cloud`` starts and stops it; ``python -m tests.support.cloud`` is ``make cloud``.
"""
