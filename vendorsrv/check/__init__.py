"""The configuration, checked before it is used."""
