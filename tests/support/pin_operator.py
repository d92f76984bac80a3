"""The commands on pins, run for a configuration and a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner, Result
from cryptography.fernet import Fernet

from tests.support.pin_stores import execute, with_store
from tests.support.serving import write_config
from vendorsrv.cli.main import main
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.store import PinStore

A, B, C = (f"{letter * 8}-9e1f-4f0e-9f38-2f5d6a0b1c2d" for letter in "abc")
ANSWER = b'{"password":"planted \xe2\x98\x83","number":1.50}'
AT = 1_700_000_000.5
OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))


class Operator:
    """Runs commands for one configuration.

    :param url: of the database; None for the default SQLite file.
    """

    def __init__(self, folder: Path, url: str | None, keys: Sequence[str] = (), *, allow_plain: bool = False) -> None:
        sections = f"[database]\nconnection = {url}\n" if url else ""
        sections += f"[pins]\nencryption_keys = {','.join(keys)}\nallow_plain = {allow_plain}\n"
        self.config = str(write_config(folder, state_path=folder / "state", sections=sections))
        self.url = url or f"sqlite:///{folder}/state/pins.db"

    def run(self, *arguments: str, typed: str | bytes | None = None) -> Result:
        """Run a command."""
        group, command, *rest = arguments
        return CliRunner().invoke(main, [group, command, "--config-file", self.config, *rest], input=typed)

    def pin(self, *keys: tuple[str, str], answer: bytes = ANSWER, cipher: PinCipher | None = None) -> None:
        """Pin the same answer for some instances and handlers."""

        async def work(store: PinStore) -> None:
            for key in keys:
                await store.add(*key, (cipher or PinCipher([])).encrypt(*key, answer), AT)

        with_store(self.url, work)

    def stored(self) -> dict[str, bytes]:
        """Return the stored bytes by instance."""
        rows = with_store(self.url, lambda store: execute(store.database, "SELECT instance_id, answer FROM pins"))
        return {str(row[0]): bytes(row[1]) for row in rows if isinstance(row[1], bytes)}


def seen(result: Result) -> tuple[int, str, str]:
    """Return a command's exit code and outputs; it must not have raised another exception than SystemExit."""
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


def line(**changes: object) -> str:
    """Return a line of an export."""
    members = {"instance_id": B, "handler": "mail", "pinned_at": "2023-11-14T22:13:20Z", "answer": "{}"}
    return json.dumps(members | changes)
