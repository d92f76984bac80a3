"""The checks of a configuration before it is used: vendorsrv's own files, and Nova's side of them.

Other packages use ``run.find_all`` for the command, ``run.before_start`` for the server.
"""
