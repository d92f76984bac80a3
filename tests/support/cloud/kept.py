"""What a folder keeps of its cloud between runs: ports, the password, where the data are, and whether one runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from tests.support.cloud.service import ROOT, CloudError
from tests.support.cloud.stores import Stores


def key() -> str:
    """Return what changes when the lab or its packages do: a cloud of another lab is not gone on with."""
    lab = (path for path in Path(__file__).parent.rglob("*") if path.is_file() and path.suffix != ".pyc")
    contents = [path.read_bytes() for path in (ROOT / "requirements/cloud.txt", *sorted(lab))]
    return hashlib.sha256(b"\0".join([sys.prefix.encode(), *contents])).hexdigest()


@dataclass(kw_only=True)
class Kept:
    """The contents of ``cloud.json``, which is there when the cloud was complete once.

    :ivar kind: of the databases (:class:`Stores`).
    :ivar ports: of loopback, by the program's name.
    :ivar password: of all accounts but ``admin``, and of Nova's metadata API.
    :ivar key: of the lab that made it (:func:`key`).
    """

    kind: str
    ports: dict[str, int]
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    key: str = field(default_factory=key)

    @classmethod
    def new(cls, stores: Stores, programs: Sequence[str]) -> Self:
        """Return that of a new cloud, with a free port for each program."""
        return cls(kind=stores.kind, ports=dict(zip(programs, free_ports(len(programs)), strict=True)))

    @classmethod
    def load(cls, stores: Stores) -> Self | None:
        """Return that of the folder; None if it has no complete cloud that this lab has made.

        :raises CloudError: its databases do not answer.
        """
        file = stores.folder / "cloud.json"
        kept = json.loads(file.read_text()) if file.exists() else {}
        if kept.get("key") != key():
            return None
        if kept["kind"] != stores.kind:
            raise CloudError(
                f"the databases of the cloud in {stores.folder} are in {kept['kind']}, but now this is to use "
                f"{stores.kind}: see to MariaDB at {stores.server}, or remove that cloud (--remove)"
            )
        return cls(**kept)

    def save(self, folder: Path) -> None:
        """Write the file; only this user may read it."""
        file = folder / "cloud.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(asdict(self)))

    def check_ports(self, folder: Path) -> None:
        """Return if nobody has the ports.

        :raises CloudError: somebody has one.
        """
        for name, port in self.ports.items():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    raise CloudError(
                        f"port {port} of {name} is taken: stop the process that has it, or remove the cloud in "
                        f"{folder} (--remove), and the next one has other ports"
                    ) from None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, so that no other cloud starts in it.

    :raises CloudError: one runs in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CloudError(f"a cloud runs in {folder} already: stop it, or name another folder (--folder)") from None
        yield


def remove(stores: Stores) -> None:
    """Remove everything of a cloud that does not run, but its logs."""
    stores.drop()
    for path in stores.folder.iterdir():
        if path.name in {"logs", "lock"}:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def free_ports(number: int) -> list[int]:
    """Return as many ports of loopback that nobody has."""
    with contextlib.ExitStack() as end:
        sockets = [end.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
