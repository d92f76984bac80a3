"""The ``vendorsrv`` command, with one module for each subcommand."""
