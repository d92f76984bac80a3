"""The handler package that ``vendorsrv new`` creates."""
