"""``vendorsrv listen`` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import real_peers as peers
from tests.support.processes import ROOT
from tests.support.serving import free_port, section
from tests.support.waiting import wait_until


class Listener:
    """The process.

    :ivar log: the file that it logs into.
    """

    def __init__(self, config: Path, name: str, metrics_port: int) -> None:
        peers.skip_if_unit()
        self.metrics_port = metrics_port
        self.log = config.with_name(f"{name}.log")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vendorsrv", "listen", "--config-file", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has logged a text."""

        def has_logged() -> bool:
            found = self.log.read_text()
            assert found.count(text) >= times or self.process.poll() is None, found
            return found.count(text) >= times

        wait_until(has_logged)

    def end(self) -> int:
        """Stop it as systemd does, and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def counted(self, name: str) -> Counter[str]:
        """Return a metric by its last label but one, of transport or handler, and its outcome; without those at 0."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            lines = [line.partition(" ") for line in answer.read().decode().splitlines() if line.startswith(name)]
        return Counter(
            {labels.partition("{")[2].strip("}"): int(float(value)) for labels, _, value in lines if value != "0.0"}
        )


@contextmanager
def listening(config: Path, name: str = "listen") -> Iterator[Listener]:
    """Listen with a configuration of :func:`write_listener`; the process is ended in any case."""
    port = re.search(r"metrics_port = (\d+)", config.read_text())
    listener = Listener(config, name, int(port[1]) if port else 0)
    try:
        yield listener
    finally:
        listener.process.kill()
        listener.process.wait()


def write_listener(folder: Path, *urls: str, database: str | None = None, **leaving: object) -> Path:
    """Write a configuration with the handler ``leaving``, whose notes are in the file ``notes``.

    :param urls: of the transports.
    :param database: ``[database] connection``; a SQLite file by default.
    :param leaving: options of the handler.
    """
    folder.mkdir(exist_ok=True)
    path = folder / "vendorsrv.conf"
    path.touch(0o600)
    path.write_text(
        section("vendorsrv", {"handlers": "tests.support.handlers.leaving:Leaving", "state_path": folder})
        + section("database", {"connection": database})
        + section("handler:leaving", {"notes": folder / "notes", **leaving})
        + "[lifecycle]\n"
        + "".join(f"transport_url = {url}\n" for url in urls)
        + f"metrics_port = {free_port()}\n"
        + "[oslo_messaging_rabbit]\nrabbit_retry_interval = 1\nrabbit_retry_backoff = 0\n"
    )
    return path


def notes_of(config: Path) -> list[Any]:
    """Return what ``deleted`` was called with."""
    notes = config.with_name("notes")
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
