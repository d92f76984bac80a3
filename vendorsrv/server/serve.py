"""Serve with uvicorn: workers under a supervisor, TLS, graceful stop, reload on SIGHUP."""

from __future__ import annotations

import gc
import logging
import os
import signal
import ssl
from importlib import import_module
from multiprocessing.connection import Connection
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOL_SOCKET, socket
from typing import Final

import uvicorn

from vendorsrv.check.run import StartCheck, before_start
from vendorsrv.errors import ConfigError
from vendorsrv.peers.connections import raise_file_limit
from vendorsrv.server.protocol import Protocol
from vendorsrv.server.supervisor import FORK, Supervisor
from vendorsrv.settings import CONFIG_FILE_VARIABLE, METRICS_VARIABLE, ConfigFiles, Settings, files_of
from vendorsrv.telemetry.logs import quiet, set_up_logging
from vendorsrv.telemetry.shared_counts import metrics_directory

LOG = logging.getLogger(__name__)

#: Seconds that an idle connection is kept open. Nova keeps its own open between boots, and a request fails when the
#: server closes the connection at that moment.
KEEP_ALIVE: Final = 75


def uvicorn_config(settings: Settings, application: object, workers: int) -> uvicorn.Config:
    """Return uvicorn's configuration for our settings.

    :param application: an ASGI application, or the import string of a factory for one.
    """
    return uvicorn.Config(
        application,  # type: ignore[arg-type]
        factory=isinstance(application, str),
        host=settings.host,
        port=settings.port,
        workers=workers,
        lifespan="on",
        http=Protocol,
        ws="none",
        log_config=None,  # oslo.log has the handlers
        access_log=False,  # ours says more, and holds no query string
        server_header=False,
        proxy_headers=False,  # the endpoint reads them, of trusted proxies
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_timeout)),
        ssl_certfile=settings.cert_file,
        ssl_keyfile=settings.key_file,
        ssl_ca_certs=settings.ca_file,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.ca_file else ssl.CERT_NONE,
    )


def listen(settings: Settings, config: uvicorn.Config) -> list[socket]:
    """Return the socket of Nova's address and, unless ``admin_port`` is empty, that of the server's own pages.

    :raises ConfigError: an address is taken, or is none of this machine.
    """
    try:
        novas = config.bind_socket()
    except SystemExit:  # uvicorn has logged why
        raise ConfigError(f"cannot listen on {settings.host} port {settings.port}") from None
    if settings.admin_port is None:
        return [novas]
    try:
        return [novas, listen_for_admin(settings.admin_host, settings.admin_port)]
    except ConfigError:
        novas.close()
        raise


def listen_for_admin(host: str, port: int) -> socket:
    listener = socket(AF_INET6 if ":" in host else AF_INET)
    try:
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # else another server could take the address until the workers have started
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot listen on admin_host {host} port {port}: {error.strerror}") from None
    LOG.info(
        "Metrics and API documentation on http://%s:%d", f"[{host}]" if ":" in host else host, listener.getsockname()[1]
    )
    return listener


def check_apart(config_file: ConfigFiles) -> StartCheck:
    """Check a configuration in a process of its own: each worker shall import the handlers' code anew.

    :raises ConfigError: the file cannot be read, or a handler ended the process.
    """
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=send_verdict, args=(config_file, theirs))
    process.start()
    theirs.close()
    # The child is at work, and there are two cores as a rule.
    import_module("vendorsrv.server.app")
    try:
        with ours:
            found: StartCheck | ConfigError = ours.recv()
    except EOFError:
        raise ConfigError(f"{' '.join(files_of(config_file))}: a handler ended the process that checks it") from None
    finally:
        process.join()
    if isinstance(found, ConfigError):
        raise found
    return found


def send_verdict(config_file: ConfigFiles, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the supervisor says that it was interrupted
    try:
        verdict = before_start(config_file)
        if verdict.pins and not verdict.errors:
            # Here, since Alembic, which creates the file, would stay in a worker's memory.
            from vendorsrv.pins.service import make_missing

            with quiet():
                make_missing(Settings.from_file(config_file))
        connection.send(verdict)
    except ConfigError as error:
        connection.send(error)


def serve(config_file: ConfigFiles, workers: int | None = None, *, pins: bool = False) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP brings up new workers with the files as they are then, one by one.

    One worker has a supervisor too: it is what reloads it, and replaces it when it dies.

    :param workers: overrides the configuration's number.
    :param pins: workers will need what reads and writes pins.
    :raises ConfigError: the configuration is unusable, an address is taken, or a worker could not start.
    """
    settings = Settings.from_file(config_file)
    set_up_logging(settings.conf)
    raise_file_limit()
    os.environ[CONFIG_FILE_VARIABLE] = "\n".join(map(os.path.abspath, files_of(config_file)))
    config = uvicorn_config(settings, "vendorsrv.server.app:from_environment", workers or settings.workers)
    sockets = listen(settings, config)
    import_module("vendorsrv.server.app")  # once, for all workers
    if pins:
        import_module("vendorsrv.pins.service")
    gc.freeze()  # what is never looked at again is never copied into a worker
    gc.enable()
    with metrics_directory() as directory:
        os.environ[METRICS_VARIABLE] = str(directory)
        Supervisor(config, sockets, drain_seconds=settings.drain_seconds).run()
