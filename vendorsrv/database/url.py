"""An operator's database URL, in the words of asyncio's drivers."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from vendorsrv.errors import ConfigError

#: What operators write, and the driver that serves it to asyncio.
DRIVERS: Final = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "mysql": "asyncmy", "mariadb": "asyncmy"}

#: What may follow the question mark, and what of it the drivers do not know or need: the server's own deadlines are
#: shorter. Whatever else libpq knows, asyncpg reads from a DSN and sends unknown names on as settings of the session.
ASYNCPG: Final = frozenset({"host", "port", "ssl", "prepared_statement_cache_size"})
ASYNCMY: Final = frozenset(
    {"charset", "init_command", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_key"}
) | {"unix_socket", "use_unicode"}
NOT_NEEDED: Final = frozenset({"connect_timeout", "read_timeout", "write_timeout"})


def async_url(connection: str) -> URL:
    """Read an operator's URL (``mysql+pymysql://…``, ``postgresql://…?sslmode=require``) for asyncio's drivers.

    :raises ConfigError: it is no URL, of a database that is not served, or has an option that the driver lacks.
    """
    try:
        url = make_url(connection)
        database = url.get_backend_name()
    except (ArgumentError, ValueError):  # a port that is no number
        raise ConfigError("[database] connection: this is no database URL, such as sqlite:////var/lib/x.db") from None
    driver = DRIVERS.get(database)
    if driver is None:
        raise ConfigError(f"[database] connection: {database} is not one of {', '.join(DRIVERS)}")
    url = url.set(drivername=f"{database}+{driver}").difference_update_query(NOT_NEEDED)
    return url_for_asyncpg(url) if driver == "asyncpg" else refuse_unknown(url)


def url_for_asyncpg(url: URL) -> URL:
    own = {name: value for name, value in url.query.items() if name in ASYNCPG}
    of_libpq = {name: value for name, value in url.query.items() if name not in ASYNCPG}
    if of_libpq:
        own["dsn"] = f"postgresql://?{urlencode(sorted(of_libpq.items()), doseq=True)}"
    return url.set(query=own)


def refuse_unknown(url: URL) -> URL:
    known = ASYNCMY if url.get_driver_name() == "asyncmy" else frozenset()
    for name in url.query:
        if name not in known:
            choice = f"one of {', '.join(sorted(known))}" if known else "none is"
            raise ConfigError(f"[database] connection: the URL's option {name} is not known; {choice}")
    return url
