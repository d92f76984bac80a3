"""The enrolment example against its directory in a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import free_port, serving, write_config
from tests.support.waiting import wait_until
from vendorsrv import UpstreamError, VendordataRequest
from vendorsrv.testing import FakeUpstream, Reply
from vendorsrv_enrolment import Enrolment
from vendorsrv_enrolment.directory import main

INSTANCE = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"
HOST = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d.example.org"
TOKEN = "directory-token"
COMMAND = [sys.executable, "-m", "vendorsrv_enrolment.directory", "--port", "0"]


@pytest.fixture(scope="module")
def process() -> Iterator[httpx.Client]:
    """A directory in a process of its own, as its administrator's client."""
    environment = {**os.environ, "DIRECTORY_TOKEN": TOKEN}
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            yield client
        process.terminate()


@pytest.fixture
def directory(process: httpx.Client) -> httpx.Client:
    """The directory with the host of :data:`INSTANCE` removed."""
    process.delete(f"/hosts/{HOST}").raise_for_status()
    return process


def counted(directory: httpx.Client) -> Counter[str]:
    """The hosts that there are, and the passwords that were ever issued."""
    return Counter(directory.get("/hosts").json())


def enrol(url: object, **changes: Any) -> dict[str, str]:
    """What the handler returns for the instance, without a pin."""
    options = {"url": str(url), "token": TOKEN, "domain": "example.org", "directory_timeout": 60.0, **changes}
    handler = Enrolment(SimpleNamespace(**options))

    async def run() -> dict[str, str]:
        await handler.open()
        try:
            return await handler.handle(VendordataRequest(INSTANCE, hostname="tenants-choice"))
        finally:
            await handler.close()

    return asyncio.run(run())


def status_of_enrolment(directory: httpx.Client, otp: str) -> int:
    """Play the host, which enrols itself with a password."""
    return httpx.post(directory.base_url.join(f"/hosts/{HOST}/enrolment"), json={"otp": otp}).status_code


def test_an_instance_gets_a_password_that_works_once(directory: httpx.Client) -> None:
    """The host, named by the instance's id, can enrol itself with its password, and only once."""
    answer = enrol(directory.base_url)
    assert HOST == answer["host"]
    assert [204, 403] == [status_of_enrolment(directory, answer["otp"]) for _ in range(2)]


def test_a_lost_password_is_replaced(directory: httpx.Client) -> None:
    """When a run's answer was lost, the next run replaces its password, which is void."""
    before = counted(directory)
    lost, kept = enrol(directory.base_url)["otp"], enrol(directory.base_url)["otp"]
    assert {"hosts": 1, "passwords": 2} == counted(directory) - before
    assert [403, 204] == [status_of_enrolment(directory, otp) for otp in (lost, kept)]


def test_a_host_that_enrolled_gets_no_other_password(directory: httpx.Client) -> None:
    """A host that has enrolled gets no second password, even if its pin was forgotten."""
    status_of_enrolment(directory, enrol(directory.base_url)["otp"])
    with pytest.raises(UpstreamError, match=r"^the host is enrolled in the directory already$"):
        enrol(directory.base_url)


def test_a_removed_host_can_enrol_again(directory: httpx.Client) -> None:
    """A host that was removed from the directory can be enrolled again."""
    status_of_enrolment(directory, enrol(directory.base_url)["otp"])
    assert 204 == directory.delete(f"/hosts/{HOST}").status_code
    assert 204 == status_of_enrolment(directory, enrol(directory.base_url)["otp"])


def test_a_late_renewal_voids_nothing(directory: httpx.Client) -> None:
    """A late request of an abandoned run does not replace a newer password."""
    enrol(directory.base_url)
    kept = enrol(directory.base_url)["otp"]
    assert 409 == directory.put(f"/hosts/{HOST}/otp", json={"revision": 1}).status_code
    assert 204 == status_of_enrolment(directory, kept)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/hosts", b"no JSON", 400),
        ("POST", "/hosts", b"[]", 400),
        ("PUT", "/hosts/nosuch/otp", b'{"revision": 1}', 404),
        ("POST", "/hosts/nosuch/enrolment", b'{"otp": ""}', 403),
    ],
)
def test_what_the_directory_refuses(directory: httpx.Client, method: str, path: str, body: bytes, status: int) -> None:
    """The directory refuses hosts without a name, and operations on unknown hosts."""
    assert status == directory.request(method, path, content=body).status_code


def test_the_directory_needs_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory does not start without its token in the environment, and names the variable."""
    monkeypatch.delenv("DIRECTORY_TOKEN", raising=False)
    monkeypatch.setattr(sys, "argv", ["directory", "--port", "0"])
    with pytest.raises(SystemExit, match=r"^DIRECTORY_TOKEN is not set: set it to the token with which the handler"):
        main()


def test_a_wrong_token(directory: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """With a wrong token nothing is enrolled, and the log has the directory's status."""
    before = counted(directory)
    with pytest.raises(UpstreamError, match=r"^the directory gave no one-time password$"):
        enrol(directory.base_url, token="another-token")
    assert before == counted(directory)
    assert ["the directory answered 401, and no password"] == [
        record.message for record in caplog.records if record.name == "vendorsrv_enrolment"
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"otp": "x"}'),
        (302, b'{"otp": "x"}'),
        (201, b"<html>"),
        (201, b"[]"),
        (201, b"{}"),
        (201, b'{"otp": 7}'),
        (409, b"{}"),
    ],
)
def test_an_answer_without_a_password_is_an_error(status: int, body: bytes) -> None:
    """An answer of the directory without a password is a 502; redirects are not followed."""
    reply = Reply(body, {"Location": "/elsewhere"}, status)
    with FakeUpstream(reply=reply) as other, pytest.raises(UpstreamError, match=r"^the directory gave no one-time"):
        enrol(other.url)


def test_an_unavailable_directory_is_an_error() -> None:
    """A directory that refuses connections is a 502 with a message that a tenant may read."""
    with FakeUpstream() as nobody, pytest.raises(UpstreamError, match=r"^the directory does not answer$"):
        enrol(nobody.url_of("refused"))


def test_an_unresponsive_directory_is_an_error() -> None:
    """A directory that does not respond is a 502 after directory_timeout seconds."""
    with FakeUpstream(delay=60.0) as hanging, pytest.raises(UpstreamError, match="does not answer"):
        enrol(hanging.url, directory_timeout=0.1)


def test_vendorsrv_finds_it_by_its_entry_point() -> None:
    """The entry point `enrolment` is the handler's class."""
    (found,) = entry_points(group="vendorsrv.handlers", name="enrolment")
    assert Enrolment is found.load()


def test_six_calls_from_two_processes_enrol_one_host_once(directory: httpx.Client, tmp_path: Path) -> None:
    """Six concurrent requests to two servers with one pin store enrol the host once, and get the same answer."""
    before = counted(directory)
    section = f"[handler:enrolment]\nurl = {directory.base_url}\ntoken = {TOKEN}\ndomain = example.org\n"
    with FakeKeystone() as keystone, ExitStack() as stack:
        token = keystone.issue("service")
        servers = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            port = free_port()
            config = write_config(
                tmp_path / name, keystone, handlers="enrolment", sections=section, port=port, state_path=tmp_path
            )
            servers.append(stack.enter_context(serving(config, port)))
        for server in servers:
            wait_until(server.answers, 60)
        clients = [stack.enter_context(server.client()) for server in servers]

        def ask(client: httpx.Client) -> httpx.Response:
            headers = {"Content-Type": "application/json", "X-Auth-Token": token}
            return client.post("/enrolment", content=b'{"instance-id": "%s"}' % INSTANCE.encode(), headers=headers)

        with ThreadPoolExecutor(6) as threads:
            responses = list(threads.map(ask, clients * 3))
    assert [200] * 6 == [response.status_code for response in responses]
    assert 1 == len({response.content for response in responses})
    assert {"hosts": 1, "passwords": 1} == counted(directory) - before
    assert 204 == status_of_enrolment(directory, responses[0].json()["otp"])
