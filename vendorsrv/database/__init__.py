"""The SQL database of a deployment: its URL, connections, statements and schema."""
