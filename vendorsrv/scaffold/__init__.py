"""A new package with a handler, made by ``vendorsrv new``."""
