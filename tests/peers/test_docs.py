"""What the documentation shows is what happens: its handlers are served, and its commands print what it says."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.keystone import NOVA, Keystone
from tests.support.pages import PAGES, Block, blocks, page, shown
from tests.support.peers.server import Server
from vendorsrv.check.run import find_all
from vendorsrv.testing import FakeUpstream, Received, Reply
from vendorsrv.testing.misbehaviour import hangs_up

#: Where the pages say that the server listens.
URL = "http://127.0.0.1:9090"
WITH_CONSOLE = [each for each in PAGES if blocks(each, "console")]
README, HANDLERS = PAGES[0], page("handlers")


@contextmanager
def serving(
    of: Path, directory: Path, keystone: Keystone, patch: pytest.MonkeyPatch, added: dict[str, dict[str, object]]
) -> Iterator[Server]:
    """Write the named blocks of a page, and serve with the real Keystone what each vendorsrv.conf adds."""
    options: dict[str, dict[str, object]] = {}
    for block in blocks(of):
        if block.name == "vendorsrv.conf":  # whose account is for a Keystone of the reader's
            options |= options_of(block)
            options.pop("keystone_authtoken", None)
        elif block.name and "/" not in block.name:
            (directory / block.name).write_text(block.text)
    patch.setenv("PYTHONPATH", str(directory), prepend=os.pathsep)
    with Server(directory, keystone, options | added) as server:
        yield server


def options_of(block: Block) -> dict[str, dict[str, object]]:
    """The options of an INI block; those before its first section belong to [vendorsrv]."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=["="])
    text = block.text.replace("CHANGE-ME", "secret")
    parser.read_string(text if text.startswith("[") else f"[vendorsrv]\n{text}")
    return {name: dict(parser[name]) for name in parser.sections()}


def run(command: str, server: Server, keystone: Keystone) -> str:
    """Run a command of a page, as Nova's user in the folder of the page's files; return what it prints."""
    user, password, project = NOVA
    scope = {"OS_PROJECT_NAME": project, "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default"}
    account = {"OS_AUTH_URL": keystone.url, "OS_USERNAME": user, "OS_PASSWORD": password}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command.replace(URL, server.url)],
        cwd=server.configuration.parent,
        env={**os.environ, **account, **scope, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,  # some are runs of pytest that take seconds on a machine with nothing else to do
        check=False,
    )
    return done.stdout.replace(server.url, URL)


def steps(of: Path) -> Iterator[tuple[str, str]]:
    """The commands of a page's console blocks, each with what must be printed."""
    for block in blocks(of, "console"):
        for step in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, output = step.partition("\n")
            yield command, output


def matches(expected: str, printed: str) -> bool:
    """Whether a text is as expected, where `...` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, expected.split("..."))), printed, re.DOTALL) is not None


@pytest.mark.parametrize("of", WITH_CONSOLE, ids=shown)
def test_commands_print_what_the_page_says(
    of: Path, tmp_path: Path, keystone: Keystone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of a page's console blocks prints what stands below it."""
    with serving(of, tmp_path, keystone, monkeypatch, {}) as server:
        printed = [(command, expected, run(command, server, keystone)) for command, expected in steps(of)]
    wrong = [f"$ {command}\n{text}" for command, expected, text in printed if not matches(expected, text)]
    assert [] == wrong


@pytest.mark.parametrize("of", [README, HANDLERS], ids=shown)
def test_a_handler_takes_ten_lines_and_four_of_configuration(
    of: Path, tmp_path: Path, keystone: Keystone, monkeypatch: pytest.MonkeyPatch, nova_token: str
) -> None:
    """The first handler that a page lets its reader write, by its first configuration, answers Nova."""
    configuration = blocks(of, "ini")[0]
    code = [block for block in blocks(of, "python") if block.line < configuration.line][-1]
    enabling = configuration.text.partition("[keystone_authtoken]")[0]
    lines, options = (len([line for line in text.splitlines() if line]) for text in (code.text, enabling))
    with serving(of, tmp_path, keystone, monkeypatch, {}) as server:
        monkeypatch.syspath_prepend(tmp_path)
        assert [] == [str(finding) for finding in find_all(server.configuration) if finding.severity == "error"]
        name = next(name for name in options_of(configuration) if name.startswith("handler:")).partition(":")[2]
        assert 200 == server.post(f"/{name}", nova_token).status_code
    assert lines <= 10
    assert options <= 4


#: An instance for each thing that an inventory can do.
KNOWN, UNKNOWN, FAILING, GARBLED, HANGING_UP = (f"6f3c2b1a-9d8e-4f70-8a6b-{number:012}" for number in range(5))


def inventory(received: Received) -> Reply:
    """Answer what the handler with a client of handlers.md asks, by the instance."""
    instance = received.path.removeprefix("/instances/")
    body = b"<html>" if instance == GARBLED else b'{"rack": 7}'
    return Reply(body, status={UNKNOWN: 404, FAILING: 500}.get(instance, 200))


@pytest.fixture(scope="module")
def with_client(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the handler with a client of handlers.md, whose inventory is on loopback."""
    with FakeUpstream(reply=inventory) as upstream, pytest.MonkeyPatch.context() as patch:
        upstream.routes[f"/instances/{HANGING_UP}"] = hangs_up
        added: dict[str, dict[str, object]] = {
            "vendorsrv": {"handlers": "inventory:Inventory"},
            "handler:inventory": {"url": upstream.url},
        }
        with serving(HANDLERS, tmp_path_factory.mktemp("inventory"), keystone, patch, added) as server:
            yield server


@pytest.mark.parametrize(
    ("instance", "status", "text"),
    [
        (KNOWN, 200, '{"inventory":{"rack":7}}'),
        (UNKNOWN, 200, "{}"),
        (FAILING, 502, "the service that handler inventory calls answered with status 500"),
        (GARBLED, 502, "the service that handler inventory calls did not send JSON"),
        (HANGING_UP, 503, "the service that handler inventory calls does not answer"),
    ],
)
def test_the_handler_with_a_client_answers_as_its_page_says(
    instance: str, status: int, text: str, with_client: Server, nova_token: str
) -> None:
    """The second handler of handlers.md answers from what it asks, and fails as that does."""
    response = with_client.post("/inventory", nova_token, b'{"instance-id": "%s"}' % instance.encode())
    assert status == response.status_code
    assert text in response.text


def test_the_public_route_needs_no_token(with_client: Server) -> None:
    """The second handler of handlers.md has a route that everybody may ask."""
    assert ["inventory"] == list(with_client.client.get("/inventory/about.json").json())
