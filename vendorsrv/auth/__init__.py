"""Authentication and authorisation of callers, and vendorsrv's own accounts at Keystone."""
