"""One preparation for an instance, whoever asks, wherever, and on which database."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.pin_stores import KINDS, database_url, make_table, new_instance
from tests.support.serving import JSON, free_port, section, serving, write_config

#: What Nova asks for two config drives with targets of their own, and for two reads with one target for all.
CALLS = (*["/enrolled"] * 6, *["/cloud-init"] * 6, *["/"] * 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pin_for", [0, 300])
def test_calls_at_once_by_two_workers_share_one_preparation(kind: str, pin_for: int, tmp_path: Path) -> None:
    """Fourteen calls at once for an instance, by two workers, get one password, and ten instances ten of them."""
    runs = tmp_path / "runs"
    runs.mkdir()
    instances = [new_instance() for _ in range(10)]
    with ExitStack() as stack:
        url = stack.enter_context(database_url(kind, tmp_path))
        make_table(url)
        keystone = stack.enter_context(FakeKeystone())
        token = keystone.issue("service")
        sections = section("database", {"connection": url})
        sections += section("handler:enrolled", {"runs": runs, "pin_for": pin_for})
        clients = []
        for name in ("first", "second"):
            folder, port = tmp_path / name, free_port()
            folder.mkdir()
            config = write_config(
                folder,
                keystone,
                handlers="tests.support.handlers.preparing:Enrolled",
                sections=sections,
                port=port,
                request_timeout=20.0,
                auth_timeout=10.0,
            )
            worker = stack.enter_context(serving(config, port))
            worker.wait_until_answers()
            clients.append(stack.enter_context(worker.client()))

        def ask(number: int, instance: str) -> Any:
            body = json.dumps({"instance-id": instance, "project-id": "0b9d", "boot-roles": "member"})
            headers = {**JSON, "X-Auth-Token": token}
            response = clients[number % 2].post(CALLS[number], content=body, headers=headers)
            assert 200 == response.status_code, response.text
            return response.json()

        threads = stack.enter_context(ThreadPoolExecutor(28))
        asked = {each: [threads.submit(ask, number, each) for number in range(len(CALLS))] for each in instances}
        answers = {each: [one.result() for one in futures] for each, futures in asked.items()}
    found = set()
    for json_and_parts in answers.values():
        own, cloud_init, for_all = json_and_parts[:6], json_and_parts[6:12], json_and_parts[12:]
        (password,) = {each["password"] for each in (*own, *(each["enrolled"] for each in for_all))}
        assert {f"final_message: {password}"} == {each.splitlines()[1] for each in cloud_init}
        found.add(password)
    assert 10 == len(found)
    made = [path.name.partition(".")[0] for path in runs.iterdir()]
    assert [10, 10, 10] == [made.count(method) for method in ("prepare", "handle", "cloud_init")]
