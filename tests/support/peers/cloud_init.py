"""The real cloud-init as a library, in a process of its own: what it makes of one config drive after another.

It runs with the Python of the distribution, and with the same probe that ``vendorsrv render --check`` uses.
"""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any, Final, Self

from tests.support import real_peers as peers
from vendorsrv.cloudinit.dry_run import PROBE, PYTHON

ROOT: Final = Path(__file__).parents[3]
PROCESS: Final = Path(__file__).with_name("cloud_init_process.py")
#: Stands for "Nova wrote nothing under this name".
NOTHING: Final[dict[str, Any]] = {}


class CloudInit:
    """A context manager; starting takes half a second, and a boot some hundredths.

    :param directory: where the drives are written, and all that cloud-init writes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __enter__(self) -> Self:
        self.log = (self.directory / "cloud-init.log").open("wb")
        self.process = subprocess.Popen(
            [PYTHON, "-I", str(PROCESS), str(PROBE), str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,
        )
        first = self.process.stdout.readline() if self.process.stdout else b""
        if not first:
            self.__exit__()
            peers.missing("no real cloud-init: install Debian's package cloud-init")
        peers.RAN["cloud-init"] = json.loads(first)["version"]
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.communicate()
        self.log.close()

    def boot(self, answer: Any, user_data: bytes = b"", static: str = "", *, alone: bool = False) -> dict[str, Any]:
        """Boot one instance whose vendor_data2.json has this answer, and return what is there afterwards.

        :param alone: without any vendor data.
        """
        order = {
            "vendor_data2.json": {"cloud-init": answer},
            "vendor_data.json": {"cloud-init": static} if static else {},
            "user_data": base64.b64encode(user_data).decode(),
            "alone": alone,
        }
        return self.ask(order)

    def feed(self, answer: Any) -> dict[str, Any]:
        """Return one more answer to an instance with user-data; takes some milliseconds."""
        return self.ask({"feed": answer})

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """Send one order and wait for what became of it."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"cloud-init ended: {(self.directory / 'cloud-init.log').read_text()[-2000:]}"
        seen: dict[str, Any] = json.loads(line)
        return seen
