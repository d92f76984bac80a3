"""The SQL database of pins: its URL, connections and schema."""
