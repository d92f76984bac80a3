"""The handler package that ``vendorsrv new`` creates.

Other packages use ``project.write_package``.
"""
