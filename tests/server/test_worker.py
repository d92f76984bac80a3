"""uvicorn's server in a worker."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.support.serving import write_config
from vendorsrv import Settings, create_app
from vendorsrv.server.serve import uvicorn_config
from vendorsrv.server.worker import WorkerServer


def test_a_worker_that_is_stopped_while_it_starts_never_listens(tmp_path: Path) -> None:
    """A worker that has to stop before its handlers are open accepts nothing, and ends."""
    settings = Settings.from_file(write_config(tmp_path))
    started = threading.Event()
    server = WorkerServer(uvicorn_config(settings, create_app(settings), 1), on_started=started.set)
    server.should_exit = True
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    thread.join(60)
    assert (False, False, []) == (thread.is_alive(), started.is_set(), server.servers)
