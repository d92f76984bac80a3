"""What vendorsrv uses of uvicorn beyond its documentation: a version that lacks a name is found out by name."""

from __future__ import annotations

import ast
from operator import attrgetter
from pathlib import Path
from typing import Final

import uvicorn

from tests.support.fixtures import House
from vendorsrv.server.protocol import Protocol

PRODUCT: Final = Path(__file__).parents[2] / "vendorsrv"
#: Undocumented names by what has them: the server, one of its connections, and that one's last request.
NAMES: Final = {
    "uvicorn.Server": "config.backlog config.bind_socket config.ssl lifespan.state main_loop on_tick servers "
    "server_state.connections server_state.default_headers server_state.total_requests should_exit shutdown started "
    "startup",
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol": "app client cycle data_received flow "
    "flow.pause_reading flow.resume_reading headers loop on_headers_complete on_response_complete pipeline "
    "parser.feed_data scope timeout_keep_alive transport",
    "uvicorn.protocols.http.httptools_impl.RequestResponseCycle": "access_log body default_headers disconnected "
    "flow.write_paused keep_alive message_event more_body on_response response_complete response_started scope send "
    "transport waiting_for_100_continue",
}


def lacks(thing: object, name: str) -> bool:
    """Return whether an object has no attribute of this dotted name."""
    try:
        attrgetter(name)(thing)
    except AttributeError:
        return True
    return False


def test_uvicorn_has_the_names_that_are_used(house: House) -> None:
    """The installed uvicorn has every undocumented name that the server relies on; the message lists those it lacks."""
    server = house.server.uvicorn
    house.server.client.get("/-/live")  # over a connection that stays open
    protocol = next(each for each in server.server_state.connections if isinstance(each, Protocol) and each.is_idle)
    things = dict(zip(NAMES, (server, protocol, protocol.cycle), strict=True))
    missing = [f"{what}.{name}" for what in NAMES for name in NAMES[what].split() if lacks(things[what], name)]
    assert [] == missing, f"uvicorn {uvicorn.__version__} lacks what vendorsrv uses: {missing}"


def test_undocumented_modules_of_uvicorn_are_imported_in_one_file() -> None:
    """Only the protocol imports from uvicorn's modules; the rest of the product uses names of the package."""
    found = {
        str(path.relative_to(PRODUCT))
        for path in PRODUCT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("uvicorn."))
        or (isinstance(node, ast.Import) and any(each.name.startswith("uvicorn.") for each in node.names))
    }
    assert {"server/protocol.py"} == found
