"""The ``vendorsrv`` command."""
