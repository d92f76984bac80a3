"""The contract's one table: every case, by the kind of server; each goes through each way of calling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.support.peers.table_bad import BAD
from tests.support.peers.table_form import Case, kept
from tests.support.peers.table_good import ECHOED, QUESTIONS

#: The servers that behave, and their paths: ours, and what the field runs on either of two WSGI servers.
SERVERS: Final = {"ours": "/mailserver", "echo": "/echo", "waitress": "/mailserver", "gunicorn": "/mailserver"}


class Row(NamedTuple):
    """A case, and the server that it is asked of.

    :ivar server: a key of :data:`SERVERS`, or ``misbehaving``.
    :ivar name: what the case is called, among those of the same server.
    """

    server: str
    name: str
    case: Case


def rows() -> Iterator[Row]:
    """Return all rows; who asks changes as seldom as can be, since each change costs Nova a token."""
    for name, case in BAD.items():
        yield Row("misbehaving", name, case)
    for text, value in ECHOED.items():
        yield Row("echo", text[:30], Case(kept(value), kept(value), change={"metadata": {"answer": text}}))
    for name, cases in QUESTIONS.items():
        for server, case in cases.items():
            yield Row(server, name, case)


TABLE: Final = {f"{row.server}: {row.name}": row for row in rows()}
