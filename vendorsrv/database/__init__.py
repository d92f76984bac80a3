"""The SQL database of a deployment: its URL, connections, statements and schema.

Other packages use ``engine.Database``.
"""
