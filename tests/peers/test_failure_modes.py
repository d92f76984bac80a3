"""What Nova makes of each way in which a handler fails, for each ``on_error``: measured, and on its page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pytest

from tests.support.keystone import NOVA, Keystone
from tests.support.pages import page
from tests.support.peers.failing import GOOD, HOLDING, NEVER_GOOD, VARIANTS
from tests.support.peers.nova import INSTANCE, Nova
from tests.support.peers.server import BODY, Options, Server
from tests.support.serving import free_port
from tests.support.waiting import wait_until
from vendorsrv.nova.outcomes import OUTCOMES, table
from vendorsrv.nova.outcomes import Outcome as PredictedOutcome

#: Each way to fail, as the page has it.
WAYS: Final = {
    "raises": "raises an exception",
    "upstream": "raises `UpstreamError`",
    "busy": "has a full concurrency limit and queue",
    "circuit-open": "keeps failing, so its circuit breaker is open",
    "slow": "overruns its deadline",
    "pinning": "pins, and the pin database is unavailable",
    "refuses": "raises `BadRequest`",
}
MODES: Final = ("fail", "empty", "stale")
OTHER: Final = "6f3c2b1a-9d8e-4f70-8a6b-5c4d3e2f1a0c"


class Outcome(NamedTuple):
    """What becomes of a request for a handler that fails.

    :ivar answered: our status, and the error's code if it is one.
    :ivar off: what Nova returns or raises with ``vendordata_dynamic_failure_fatal`` off.
    :ivar on: the same with it on.
    """

    answered: str
    off: str
    on: str


class Asker:
    """Asks a server for one handler, as Nova and directly."""

    def __init__(self, nova: Nova, server: Server, token: str, handler: str) -> None:
        self.nova = nova
        self.server = server
        self.token = token
        self.handler = handler

    def ask_nova(self, *, fatal: bool, **changes: Any) -> str:
        """Let Nova ask, and say what it makes of the answer."""
        target = f"it@{self.server.url}/{self.handler}"
        outcome = self.nova.vendordata({**INSTANCE, **changes}, [target], fatal=fatal, read_timeout=20)
        return f"raises `{outcome['error']['class']}`" if "error" in outcome else shown(outcome["value"]["it"])

    def post(self, **changes: str) -> str:
        """Ask without Nova, and say what the server answers."""
        body = json.dumps({**json.loads(BODY), **{name.replace("_", "-"): value for name, value in changes.items()}})
        response = self.server.post(f"/{self.handler}", self.token, body.encode())
        if response.status_code == 200:
            return f"200, {shown(response.json())}"
        return f"{response.status_code} `{response.json()['error']['code']}`"

    def get(self, path: str) -> Any:
        """Ask a public route of the handler."""
        return self.server.client.get(f"/{self.handler}/{path}").json()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Bring the handler to where it fails, after its first answer, and back."""
        way = self.handler.rpartition("-")[0]
        if way == "circuit-open":
            for number in range(5):  # one instance or project alone may be at fault itself
                self.post(instance_id=f"{OTHER[:-1]}{number}", project_id=f"project-{number}", hostname=NEVER_GOOD)
        if way != "busy":
            yield
            return
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self.post, instance_id=OTHER, hostname=HOLDING)
            wait_until(lambda: self.get("holds.json"))
            try:
                yield
            finally:
                self.get("release.json")

    def outcome(self) -> Outcome:
        """Find out everything about this handler."""
        self.ask_nova(fatal=False)
        with self.failing():
            return Outcome(self.post(), self.ask_nova(fatal=False), self.ask_nova(fatal=True))


def shown(value: object) -> str:
    """A value as the page has it."""
    return "the last good answer" if value == GOOD else f"`{json.dumps(value)}`"


@pytest.fixture(scope="module")
def server(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with every handler that fails; nobody listens where its store of pins should be."""
    options: Options = {
        "vendorsrv": {
            "handlers": ",".join(f"tests.support.peers.failing:{name}" for name in VARIANTS),
            "request_timeout": 60,  # one of them holds a place for as long as Nova needs
        },
        "database": {"connection": f"postgresql://127.0.0.1:{free_port()}/pins"},
    }
    with Server(tmp_path_factory.mktemp("failing"), keystone, options) as server:
        yield server


@pytest.fixture(scope="module")
def outcomes(nova: Nova, keystone: Keystone, server: Server) -> Mapping[tuple[str, str], Outcome]:
    """What becomes of each handler's failure, by its way and its ``on_error``."""
    token = keystone.token(NOVA)
    names = [each.name.rpartition("-")[::2] for each in VARIANTS.values()]
    return {(way, mode): Asker(nova, server, token, f"{way}-{mode}").outcome() for way, mode in names}


RAISED: Final = pytest.mark.parametrize(
    ("way", "answered", "raised"),
    [
        ("raises", "500 `handler_failed`", "raises `InternalServerError`"),
        ("upstream", "502 `upstream_failed`", "raises `BadGateway`"),
        ("busy", "503 `busy`", "raises `ServiceUnavailable`"),
        ("circuit-open", "503 `circuit_open`", "raises `ServiceUnavailable`"),
        ("pinning", "503 `pins_unavailable`", "raises `ServiceUnavailable`"),
        ("slow", "504 `handler_timeout`", "raises `GatewayTimeout`"),
        ("refuses", "400 `bad_request`", "raises `BadRequest`"),
    ],
)


@RAISED
def test_fail_reaches_nova(outcomes: Mapping[tuple[str, str], Outcome], way: str, answered: str, raised: str) -> None:
    """With OnError.FAIL each failure is an error with its own status: Nova raises, or keeps nothing."""
    assert Outcome(answered, "`{}`", raised) == outcomes[way, "fail"]


@pytest.mark.parametrize("way", ["raises", "upstream", "busy", "circuit-open", "slow"])
def test_empty_never_raises(outcomes: Mapping[tuple[str, str], Outcome], way: str) -> None:
    """With OnError.EMPTY no failure of the handler fails the instance."""
    assert Outcome("200, `{}`", "`{}`", "`{}`") == outcomes[way, "empty"]


@pytest.mark.parametrize("way", ["raises", "upstream", "busy", "circuit-open", "slow"])
def test_stale_serves_the_last_good_answer(outcomes: Mapping[tuple[str, str], Outcome], way: str) -> None:
    """With OnError.STALE the instance gets the last good answer."""
    good = "the last good answer"
    assert Outcome(f"200, {good}", good, good) == outcomes[way, "stale"]


def test_an_unavailable_pin_store_is_always_an_error(outcomes: Mapping[tuple[str, str], Outcome]) -> None:
    """While the pin store is unavailable, even OnError.EMPTY answers 503, as the instance may have a pin."""
    assert outcomes["pinning", "fail"] == outcomes["pinning", "empty"]


@pytest.mark.parametrize("mode", MODES)
def test_errors_of_the_request_reach_nova(outcomes: Mapping[tuple[str, str], Outcome], mode: str) -> None:
    """An error below 500 is not the handler's failure: it reaches Nova whatever on_error says."""
    assert "400 `bad_request`" == outcomes["refuses", mode].answered


@pytest.mark.parametrize("of", OUTCOMES, ids=lambda of: f"{of.mode.on_error.value}-{of.fatal}-{of.way}")
def test_the_outcomes_say_what_nova_does(
    nova: Nova, server: Server, nova_token: str, outcomes: Mapping[tuple[str, str], Outcome], of: PredictedOutcome
) -> None:
    """The table of `handlers --modes` agrees with what Nova does."""
    if of.mode.when == "there is none":
        measured = Asker(nova, server, nova_token, "raises-stale").ask_nova(
            fatal=of.fatal, uuid=OTHER, hostname=NEVER_GOOD
        )
    else:
        outcome = outcomes["raises", of.mode.on_error.value]
        measured = outcome.on if of.fatal else outcome.off
    seen = {"error": "`{}`", "{}": "`{}`", "earlier answer": "the last good answer"}[of.mode.answered]
    # Asked so often about one instance, the handler rests: the error is another one then.
    assert measured.startswith("raises `" if of.raises else seen)


def test_the_page_says_what_was_measured(outcomes: Mapping[tuple[str, str], Outcome]) -> None:
    """docs/failures.md has exactly the table that was measured."""
    head = ("the handler", "`on_error`", "vendorsrv answers", "Nova, with fatal off", "Nova, with fatal on")
    lines = [head, *((WAYS[way], f"`{mode}`", *outcome) for (way, mode), outcome in outcomes.items())]
    assert in_markdown(lines) == between("failure-modes"), f"docs/failures.md must have:\n{in_markdown(lines)}"


def test_the_page_has_the_outcomes() -> None:
    """docs/failures.md has the table that `vendorsrv handlers --modes` prints."""
    assert in_markdown(table()) == between("outcomes"), f"docs/failures.md must have:\n{in_markdown(table())}"


def in_markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table as the page has it; the first line is its head."""
    text = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([text[0], "|---" * len(lines[0]) + "|", *text[1:]])


def between(marker: str) -> str:
    """What the page has between two markers."""
    return page("failures").read_text().partition(f"<!-- {marker} -->\n")[2].partition(f"\n<!-- /{marker} -->")[0]
