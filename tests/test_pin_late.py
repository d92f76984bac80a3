"""A first answer that takes longer than the request that asked for it has time."""

from __future__ import annotations

from pathlib import Path

from tests.fake_keystone import FakeKeystone
from tests.serving import INSTANCE, running, section, write_config
from tests.waiting import wait_until


def test_a_run_outlives_its_request_and_its_answer_is_there_for_the_next(tmp_path: Path) -> None:
    """Nova asks six times: what was made for the first call need not be made again."""
    runs = tmp_path / "runs"
    runs.mkdir()
    sections = section("handler:pinned", {"runs": runs, "takes": 0.8})
    with FakeKeystone() as keystone:
        config = write_config(
            tmp_path, keystone, handlers="tests.handlers.keeping:Pinned", sections=sections, request_timeout=0.5
        )
        with running(config) as server:
            token = keystone.issue("service")
            wait_until(lambda: server.ask("/nosuch", token).status_code == 404)  # the token is known
            first = server.ask("/pinned", token)
            wait_until(lambda: server.ask("/pinned", token).status_code == 200)
            answer = server.ask("/pinned", token).json()
    assert (503, "pins_unavailable") == (first.status_code, first.json()["error"]["code"])
    assert [f"{INSTANCE}.{answer['made']}"] == [path.name for path in runs.iterdir()]
