"""Operators' database URLs, for asyncio's drivers."""

from __future__ import annotations

import pytest

from vendorsrv import ConfigError
from vendorsrv.database.url import async_url

MYSQL = (
    "charset, init_command, ssl_ca, ssl_capath, ssl_cert, ssl_check_hostname, ssl_cipher, ssl_key, unix_socket, "
    "use_unicode"
)


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("sqlite:////var/lib/x.db", "sqlite+aiosqlite:////var/lib/x.db"),
        ("sqlite://", "sqlite+aiosqlite://"),
        ("postgresql://u:p@h:5/d", "postgresql+asyncpg://u:p@h:5/d"),
        ("postgresql+psycopg2://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql+asyncpg:///d?host=%2Frun%2Fpostgresql"),
        ("mysql+pymysql://u:p@h/d?charset=utf8mb4", "mysql+asyncmy://u:p@h/d?charset=utf8mb4"),
        ("mariadb://h/d?connect_timeout=60&read_timeout=60", "mariadb+asyncmy://h/d"),
        ("mysql://h/d?ssl_ca=/etc/ca.pem", "mysql+asyncmy://h/d?ssl_ca=%2Fetc%2Fca.pem"),
    ],
)
def test_a_url_gets_an_asyncio_driver(connection: str, expected: str) -> None:
    """The driver in an operator's URL is replaced by the asyncio driver of that database."""
    assert expected == async_url(connection).render_as_string(hide_password=False)


def test_libpq_options_reach_asyncpg() -> None:
    """Options of libpq, such as sslmode, are passed on in the DSN that asyncpg reads them from."""
    url = async_url("postgresql://h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=3")
    assert {"dsn": "postgresql://?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"} == dict(url.query)


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("", "not a database URL such as sqlite:////var/lib/x.db"),
        ("planted", "not a database URL such as sqlite:////var/lib/x.db"),
        ("mysql://h:planted/d", "not a database URL such as sqlite:////var/lib/x.db"),
        ("mysql://[::1/d", "not a database URL such as sqlite:////var/lib/x.db"),
        (
            "postgresql://h/d?statement_cache_size=planted",
            "statement_cache_size must be a whole number, 0 or more",
        ),
        ("oracle://planted/d", "oracle is not one of sqlite, postgresql, mysql, mariadb"),
        ("sqlite:///x.db?mode=planted", "unknown option mode in the URL; SQLite takes none"),
        (
            "mysql://h/d?charset=utf8&plugin=planted",
            f"unknown option plugin in the URL; known are {MYSQL}",
        ),
    ],
)
def test_an_unusable_url_is_refused_without_its_secrets(connection: str, expected: str) -> None:
    """The message about an unusable URL says what is wrong with it, and quotes no part that may be a password."""
    with pytest.raises(ConfigError) as raised:
        async_url(connection)
    assert f"[database] connection: {expected}" == str(raised.value)
