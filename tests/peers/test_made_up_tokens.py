"""Our real server, the real Keystone, and strangers who send made-up tokens from addresses of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.support.keystone import NOVA, Keystone
from tests.support.peers.server import Options, Server, send, status
from tests.support.waiting import wait_until

#: No limit of time plays a part.
PATIENT: Final[Options] = {
    "vendorsrv": {"auth_timeout": 60, "request_timeout": 60, "auth_threads": 2},
    "keystone_authtoken": {"http_connect_timeout": 60},
}
#: As many as were sent in a second when they stopped Nova.
MADE_UP: Final = 80


@pytest.fixture
def patient(fragile_keystone: Keystone, tmp_path: Path) -> Iterator[Server]:
    """Our server, which waits for Keystone for as long as it takes."""
    with Server(tmp_path / "server", fragile_keystone, PATIENT) as server:
        wait_until(server.ready)
        yield server


def answered(server: Server) -> list[str]:
    """Return the peers of the requests for the handler that were answered, in order."""
    lines = [line for line in server.log.splitlines() if "POST '/mailserver'" in line]
    return [line.partition("peer=")[2].split()[0] for line in lines]


@pytest.mark.parametrize("strangers", [1, 4])
def test_made_up_tokens_stop_nobody(fragile_keystone: Keystone, patient: Server, strangers: int) -> None:
    """While eighty made-up tokens of one or four addresses wait, known and new tokens are answered, and it is ready."""
    known, new = fragile_keystone.token(NOVA), fragile_keystone.token(NOVA)
    assert 200 == patient.post("/mailserver", known).status_code
    with ExitStack() as stack:
        fragile_keystone.pause()
        made_up = [
            stack.enter_context(send(patient, f"127.0.0.{2 + number % strangers}", f"gAAAAAB{number:0>100}"))
            for number in range(MADE_UP)
        ]
        valid = stack.enter_context(send(patient, "127.0.0.9", new))
        assert 200 == patient.post("/mailserver", known).status_code
        fragile_keystone.resume()
        assert 200 == patient.client.get("/-/ready").status_code
        assert 200 == status(valid)
        assert {401} == {status(each) for each in made_up}
    wait_until(lambda: MADE_UP + 3 == len(answered(patient)))
    assert 20 >= answered(patient).index("127.0.0.9")  # in order of arrival it would be the last
