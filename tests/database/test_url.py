"""An operator's database URL for the drivers of asyncio."""

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
def test_urls_as_operators_write_them(connection: str, expected: str) -> None:
    """Whatever driver is named, ours is used."""
    assert expected == async_url(connection).render_as_string(hide_password=False)


def test_libpq_options_reach_asyncpg() -> None:
    """It takes them in a DSN alone."""
    url = async_url("postgresql://h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem&connect_timeout=3")
    assert {"dsn": "postgresql://?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"} == dict(url.query)


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ("", "this is no database URL, such as sqlite:////var/lib/x.db"),
        ("planted", "this is no database URL, such as sqlite:////var/lib/x.db"),
        ("mysql://h:planted/d", "this is no database URL, such as sqlite:////var/lib/x.db"),
        ("mysql://[::1/d", "this is no database URL, such as sqlite:////var/lib/x.db"),
        ("oracle://planted/d", "oracle is not one of sqlite, postgresql, mysql, mariadb"),
        ("sqlite:///x.db?mode=planted", "the URL's option mode is not known; none is"),
        (
            "mysql://h/d?charset=utf8&plugin=planted",
            f"the URL's option plugin is not known; one of {MYSQL}",
        ),
    ],
)
def test_what_is_no_url_of_ours_is_refused(connection: str, expected: str) -> None:
    """The message holds nothing of what may be a password."""
    with pytest.raises(ConfigError) as raised:
        async_url(connection)
    assert f"[database] connection: {expected}" == str(raised.value)
