"""A handler that runs longer than the request has time."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import INSTANCE, running, section, write_config
from tests.support.waiting import wait_until


def test_a_run_outlasts_its_request_and_its_answer_serves_the_next(tmp_path: Path) -> None:
    """A request whose handler is too slow is answered 503; the run goes on, and a later request gets its answer."""
    runs = tmp_path / "runs"
    runs.mkdir()
    paused = runs / "paused"
    paused.touch()
    sections = section("handler:pinned", {"runs": runs})
    with FakeKeystone() as keystone:
        config = write_config(
            tmp_path, keystone, handlers="tests.support.handlers.keeping:Pinned", sections=sections, request_timeout=1.0
        )
        with running(config) as server:
            token = keystone.issue("service")
            wait_until(lambda: server.ask("/nosuch", token).status_code == 404)  # the token is known
            first = server.ask("/pinned", token)
            paused.unlink()
            later: list[httpx.Response] = []

            def is_pinned() -> bool:
                later.append(server.ask("/pinned", token))
                return later[-1].status_code == 200

            wait_until(is_pinned)
    assert (503, "pins_unavailable") == (first.status_code, first.json()["error"]["code"])
    assert [f"{INSTANCE}.{later[-1].json()['made']}"] == [path.name for path in runs.iterdir()]
