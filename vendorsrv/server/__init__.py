"""HTTP, and the processes that serve it.

Other packages use ``app.create_app``, ``serve.serve``.
"""
