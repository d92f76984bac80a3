"""The table as docs/proxy.md shows it; ``python -m tests.support.peers.table_page`` prints it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from tests.support.peers.table import TABLE, Row
from tests.support.peers.table_form import Made

HEAD = ("| what the server does | Nova, directly | through the proxy | why |", "|---|---|---|---|")


def lines() -> list[str]:
    """Return its lines: one for all cases that come to the same, for the same reason."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in shown():
        key = (row.case.why, kind(row.case.direct), seen(row.case.proxied))
        groups.setdefault(key, []).append(row)
    cells = [
        (", ".join(row.name for row in rows), told([row.case.direct for row in rows]), proxied, why)
        for (why, _, proxied), rows in groups.items()
    ]
    return [*HEAD, *(f"| {' | '.join(each)} |" for each in cells)]


def shown() -> Iterator[Row]:
    """Return the rows that say something of a proxy; the field's servers are alike, so one of them."""
    for row in TABLE.values():
        if row.server == "misbehaving" or (row.server == "waitress" and row.case.why):
            yield row


def kind(made: Made) -> str:
    """Return what cases have in common."""
    if made.always:
        return "always"
    if made.raises:
        return "raises"
    return "nothing" if made.value == {} else "value"


def seen(made: Made) -> str:
    """Return what Nova gets of the proxy."""
    status = re.search(r"\(HTTP (\d+)\)", made.message)
    return status[1] if status else "the same entry"


def told(makings: list[Made]) -> str:
    """Return what Nova makes of the answers without a proxy."""
    classes = ", ".join(dict.fromkeys(f"`{made.raises}`" for made in makings if made.raises))
    if makings[0].always:
        return f"raises, whatever its options say: {classes}"
    if classes:
        return f"`{{}}`, or with failure fatal {classes}"
    return "`{}`, without a word" if kind(makings[0]) == "nothing" else "takes it"


if __name__ == "__main__":
    sys.stdout.write("\n".join([*lines(), ""]))
