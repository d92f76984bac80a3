"""Serve with uvicorn: workers under a supervisor, TLS, graceful stop, reload on SIGHUP."""

from __future__ import annotations

import logging
import os
import ssl
from typing import Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from vendorsrv.errors import ConfigError
from vendorsrv.observe import set_up_logging
from vendorsrv.settings import CONFIG_FILE_VARIABLE, STARTUP_FAILURE, Settings

LOG = logging.getLogger(__name__)

#: Seconds after which a worker that does not say a word is replaced; handlers may take 30 to open.
WORKER_TIMEOUT: Final = 60
#: Seconds that an idle connection is kept. Nova keeps its own open between boots, and a request that meets the end
#: of one fails.
KEEP_ALIVE: Final = 75


class Supervisor(Multiprocess):
    """uvicorn's, which also notices at once that a worker has died."""

    def keep_subprocess_alive(self) -> None:
        """Ask every worker whether it is there, and replace those that are not."""
        for process in self.processes:
            # The worker's end of the pipe: as long as it is open here, too, a dead worker's silence has no end.
            process.child_conn.close()
        super().keep_subprocess_alive()


def uvicorn_config(settings: Settings, application: object, workers: int) -> uvicorn.Config:
    """Give uvicorn's configuration for our settings.

    :param application: an ASGI application, or the import string of a factory for one.
    """
    return uvicorn.Config(
        application,  # type: ignore[arg-type]
        factory=isinstance(application, str),
        host=settings.host,
        port=settings.port,
        workers=workers,
        lifespan="on",
        http="httptools",
        ws="none",
        log_config=None,  # oslo.log has the handlers
        access_log=False,  # ours says more, and holds no query string
        server_header=False,
        proxy_headers=False,  # nothing that we decide or log rests on the client's address
        # Also the time that a worker has to start; with uvicorn's 5 s a busy machine starts workers without end.
        timeout_worker_healthcheck=WORKER_TIMEOUT,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_timeout)),
        ssl_certfile=settings.cert_file,
        ssl_keyfile=settings.key_file,
        ssl_ca_certs=settings.ca_file,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.ca_file else ssl.CERT_NONE,
    )


def serve(config_file: str, workers: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP brings up new workers with the file as it is then, one by one.

    One worker has a supervisor too: it is what reloads it, and replaces it when it dies.

    :param workers: overrides the configuration's number.
    :raises ConfigError: the configuration is unusable, the address is taken, or a worker could not start.
    """
    settings = Settings.from_file(config_file)
    set_up_logging(settings.conf)
    os.environ[CONFIG_FILE_VARIABLE] = os.path.abspath(config_file)
    config = uvicorn_config(settings, "vendorsrv.app:from_environment", workers or settings.workers)
    try:
        socket = config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise ConfigError(f"cannot listen on {settings.host} port {settings.port}") from None
    supervisor = Supervisor(config, sockets=[socket])
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise ConfigError("a worker could not start; the log says why")
