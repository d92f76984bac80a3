"""``python -m vendorsrv`` is the ``vendorsrv`` command."""

from vendorsrv.cli.main import main

if __name__ == "__main__":
    main(prog_name="vendorsrv")
