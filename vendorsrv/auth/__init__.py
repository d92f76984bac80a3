"""Authentication and authorisation of callers, and vendorsrv's own accounts at Keystone.

Other packages use ``tokens.Authenticator``, ``policy.Policy``, ``service.ServiceToken``.
"""
