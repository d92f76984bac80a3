"""Transactions of SQLite that wait for each other: of two that read and then write, SQLite refuses one at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def begin_immediate(connection: Connection, _cursor: Any, statement: str, values: Any, *_: Any) -> tuple[str, Any]:
    """Take the lock at the beginning of a transaction; oslo.db emits its ``BEGIN`` itself."""
    is_begin = statement == "BEGIN" and connection.dialect.name == "sqlite"
    return "BEGIN IMMEDIATE" if is_begin else statement, values
