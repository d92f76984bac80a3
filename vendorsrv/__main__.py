"""``python -m vendorsrv`` is the ``vendorsrv`` command."""

from vendorsrv.cli import main

if __name__ == "__main__":
    main(prog_name="vendorsrv")
