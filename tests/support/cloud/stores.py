"""Where the cloud's services keep their data and talk to each other: MariaDB or SQLite, and RabbitMQ."""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from tests.support.cloud.service import CloudError, Service
from tests.support.databases import SERVERS

DATABASES: Final = ("placement", "glance", "nova_api", "nova_cell0", "nova_cell1")
#: The variable with the URL of RabbitMQ, and the default.
RABBITMQ: Final = ("VENDORSRV_TEST_RABBITMQ", "rabbit://guest:guest@127.0.0.1:5672/")


class Stores:
    """The databases and the virtual host of one cloud, named after its folder, so that clouds stand side by side.

    Keystone has its own SQLite file.

    :ivar kind: ``mariadb`` where it answers, else ``sqlite``, which locks when several servers boot at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"vendorsrv_cloud_{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        variable, default = SERVERS["mariadb"]
        self.server = make_url(os.environ.get(variable, default))
        variable, default = RABBITMQ
        self.rabbitmq = make_url(os.environ.get(variable, default))
        self.kind = "mariadb" if self._mariadb_answers() else "sqlite"

    def url(self, database: str) -> str:
        """Return the URL of one of :data:`DATABASES`."""
        if self.kind == "sqlite":
            return f"sqlite:///{self.folder}/databases/{database}.db?timeout=60"
        url = self.server.set(database=f"{self.name}_{database}", query={"charset": "utf8"})
        return url.render_as_string(hide_password=False)

    @property
    def bus(self) -> str:
        """The ``transport_url`` of Nova's services."""
        return self.rabbitmq.set(database=self.name).render_as_string(hide_password=False)

    def check_rabbitmq(self) -> None:
        """Return if something answers where RabbitMQ should be.

        :raises CloudError: nothing does.
        """
        at = (self.rabbitmq.host or "127.0.0.1", self.rabbitmq.port or 5672)
        try:
            socket.create_connection(at, timeout=5).close()
        except OSError as error:
            raise CloudError(
                f"RabbitMQ does not answer at {at[0]}:{at[1]} ({error.strerror or error}): start it, as by `service "
                f"rabbitmq-server start`, or name another in {RABBITMQ[0]}"
            ) from error

    def make_virtual_host(self, logs: Path) -> Service:
        """Return the running step that makes the virtual host anew; rabbitmqctl takes a second for each order."""
        user = self.rabbitmq.username or "guest"
        order = (
            f"rabbitmqctl -q delete_vhost {self.name} >/dev/null 2>&1; rabbitmqctl -q add_vhost {self.name} && "
            f"rabbitmqctl -q set_permissions -p {self.name} {user} '.*' '.*' '.*'"
        )
        step = Service(name="rabbitmqctl", command=["sh", "-c", order], logs=logs)
        step.start()
        return step

    def remove_virtual_host(self, logs: Path) -> None:
        """Remove the virtual host, with its queues, if it is there."""
        order = f"rabbitmqctl -q delete_vhost {self.name} || ! rabbitmqctl -q list_vhosts | grep -qx {self.name}"
        step = Service(name="rabbitmqctl", command=["sh", "-c", order], logs=logs)
        step.start()
        step.finish()

    def create(self) -> None:
        """Make empty databases."""
        self.drop()
        if self.kind == "mariadb":
            self._execute(*(f"CREATE DATABASE {self.name}_{each} CHARACTER SET utf8" for each in DATABASES))
            return
        (self.folder / "databases").mkdir()
        for each in DATABASES:
            with sqlite3.connect(self.folder / "databases" / f"{each}.db") as file:
                file.execute("PRAGMA journal_mode=wal")
            file.close()

    def drop(self) -> None:
        """Remove the databases in MariaDB; those of SQLite go with the folder."""
        if self.kind == "mariadb":
            self._execute(*(f"DROP DATABASE IF EXISTS {self.name}_{each}" for each in DATABASES))

    def databases(self) -> list[str]:
        """Return those that are there now, in MariaDB."""
        if self.kind == "sqlite":
            return []
        engine = create_engine(self.server)
        with engine.connect() as connection:
            return [name for (name,) in connection.execute(text("SHOW DATABASES")) if name.startswith(self.name)]

    def _mariadb_answers(self) -> bool:
        try:
            self._execute("SELECT 1")
        except OperationalError:
            return False
        return True

    def _execute(self, *statements: str) -> None:
        engine = create_engine(self.server, connect_args={"connect_timeout": 5})
        try:
            with engine.begin() as connection:
                for statement in statements:
                    connection.execute(text(statement))
        finally:
            engine.dispose()
