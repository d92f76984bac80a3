"""An operator's database URL, as asyncio's drivers take it."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from vendorsrv.errors import ConfigError

#: The asyncio driver of each database, by the name that operators write.
DRIVERS: Final = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "mysql": "asyncmy", "mariadb": "asyncmy"}

#: The options of a URL that each driver takes. asyncpg reads libpq's options from a DSN, and sends others to the server
#: as settings of the session.
ASYNCPG: Final = frozenset({"host", "port", "ssl", "prepared_statement_cache_size", "statement_cache_size"})
#: Of asyncpg: 0 for PgBouncer in transaction mode, where the next statement may meet another session of the server.
STATEMENT_CACHE: Final = "statement_cache_size"
ASYNCMY: Final = frozenset(
    {"charset", "init_command", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_key"}
) | {"unix_socket", "use_unicode"}
#: Dropped: the server's own timeouts are shorter.
NOT_NEEDED: Final = frozenset({"connect_timeout", "read_timeout", "write_timeout"})


def async_url(connection: str) -> URL:
    """Return an operator's URL (``mysql+pymysql://…``, ``postgresql://…?sslmode=require``) with an asyncio driver.

    :raises ConfigError: it is not a URL, names another database, or has an option that the driver does not take.
    """
    try:
        url = make_url(connection)
        database = url.get_backend_name()
    except (ArgumentError, ValueError):  # a port that is not a number
        raise ConfigError("[database] connection: not a database URL such as sqlite:////var/lib/x.db") from None
    driver = DRIVERS.get(database)
    if driver is None:
        raise ConfigError(f"[database] connection: {database} is not one of {', '.join(DRIVERS)}")
    url = url.set(drivername=f"{database}+{driver}").difference_update_query(NOT_NEEDED)
    if driver == "asyncpg":
        return url_for_asyncpg(url)
    known = ASYNCMY if driver == "asyncmy" else frozenset()
    for name in url.query:
        if name not in known:
            choice = f"known are {', '.join(sorted(known))}" if known else "SQLite takes none"
            raise ConfigError(f"[database] connection: unknown option {name} in the URL; {choice}")
    return url


def url_for_asyncpg(url: URL) -> URL:
    own = {name: value for name, value in url.query.items() if name in ASYNCPG}
    if not str(own.get(STATEMENT_CACHE, 0)).isdecimal():
        raise ConfigError(f"[database] connection: {STATEMENT_CACHE} must be a whole number, 0 or more")
    of_libpq = {name: value for name, value in url.query.items() if name not in ASYNCPG}
    if of_libpq:
        own["dsn"] = f"postgresql://?{urlencode(sorted(of_libpq.items()), doseq=True)}"
    return url.set(query=own)
