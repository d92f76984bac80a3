"""The demo: a real Keystone, the server and two boots.

Other packages use ``run.run_demo``.
"""
