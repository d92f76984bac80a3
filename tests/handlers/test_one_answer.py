"""A handler that has only ``cloud_init`` has one answer, whichever of Nova's targets asks."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.support.pin_stores import execute, make_table, with_store
from vendorsrv import CloudConfig, Handler, NotYet, Script, ServiceUnavailable, VendordataRequest
from vendorsrv.pins.store import PinStore
from vendorsrv.testing import Server, serve

I = "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"  # noqa: E741 - the instance


class Join(Handler):
    """Mints a token."""

    runs: ClassVar[list[str]] = []
    script: ClassVar[Any] = staticmethod(lambda run: CloudConfig({"final_message": f"token {run}"}))

    async def cloud_init(self, request: VendordataRequest) -> Any:
        """Return the number of the run."""
        self.runs.append(request.instance_id)
        return self.script(len(self.runs))


class Pinned(Join):
    """Mints one for life."""

    pin = True


class ForAWhile(Join):
    """Mints one for five minutes."""

    pin_for = 300.0


class Cached(Join):
    """Mints one a minute."""

    cache_for = 60.0


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    """Forget the runs of the test before."""
    Join.runs.clear()


TOKEN = "#cloud-config\nfinal_message: token 1\nmerge_how: list(append)+dict(no_replace,recurse_list)+str()\n"


def ask(server: Server, *paths: str) -> list[Any]:
    """Ask one path after the other, and return the string of each answer."""
    answers = [server.ask(path).json for path in paths]
    return [next(iter(each.values())) if isinstance(each, dict) and each else each for each in answers]


@pytest.mark.parametrize("handler", [Pinned, ForAWhile, Cached])
@pytest.mark.parametrize("first", ["/cloud-init", "/", "own"])
def test_one_run_answers_every_target(handler: type[Handler], first: str) -> None:
    """The targets `cloud-init`, `all` and the handler's own get one token, whichever asks first."""
    with serve(handler) as server:
        paths = [first if first != "own" else handler.name, "/cloud-init", "/", handler.name, "/cloud-init"]
        assert [TOKEN] * 5 == ask(server, *paths)
    assert 1 == len(Join.runs)


def test_a_handler_that_keeps_nothing_runs_each_time() -> None:
    """Without pin and cache each request is a run, whichever target asks."""
    with serve(Join) as server:
        asked = ask(server, "/cloud-init", "join", "/cloud-init")
    assert [TOKEN, TOKEN.replace("token 1", "token 2"), TOKEN.replace("token 1", "token 3")] == asked


@pytest.mark.parametrize("first", ["/cloud-init", "pinned"])
def test_nothing_is_one_answer_as_well(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`{}` for one target is `{}` for the others."""
    monkeypatch.setattr(Join, "script", staticmethod(lambda run: None))
    with serve(Pinned) as server:
        assert [{}, {}, {}] == [server.ask(path).json for path in (first, "/cloud-init", "pinned")]
    assert 1 == len(Join.runs)


@pytest.mark.parametrize("handler", [Pinned, Cached])
@pytest.mark.parametrize("first", ["/cloud-init", "own"])
def test_a_provisional_answer_is_kept_for_no_target(
    handler: type[Handler], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After NotYet both targets get the answer of the next run."""

    def later(run: int) -> Any:
        if run == 1:
            raise NotYet
        return CloudConfig({"final_message": f"token {run}"})

    monkeypatch.setattr(Join, "script", staticmethod(later))
    with serve(handler) as server:
        path = first if first != "own" else handler.name
        assert [{}, TOKEN.replace("token 1", "token 2"), TOKEN.replace("token 1", "token 2")] == ask(
            server, path, handler.name, "/cloud-init"
        )


@pytest.mark.parametrize("handler", [Pinned, Cached, Join])
def test_an_error_is_that_of_every_target(handler: type[Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    """An error reaches Nova with its status from each path."""

    def fail(_: int) -> Any:
        raise ServiceUnavailable("no token now")

    monkeypatch.setattr(Join, "script", staticmethod(fail))
    with serve(handler) as server:
        asked = [server.ask(path) for path in ("/cloud-init", "/", handler.name)]
    assert [(503, "unavailable")] * 3 == [(each.status, each.code) for each in asked]


async def add(store: PinStore, key: tuple[str, str], stored: bytes) -> None:
    """Add one answer."""
    await store.add(*key, stored, 1_700_000_000.0)


def pin(folder: Path, **answers: object) -> None:
    """Pin answers as a server of 0.1.0 stored them, by the target."""
    url = f"sqlite:///{folder}/pins.db"
    make_table(url)
    for name, value in answers.items():
        key = (I, {"own": "pinned", "parts": "pinned:cloud-init"}[name])
        stored = b"0" + json.dumps(value).encode()
        with_store(url, partial(add, key=key, stored=stored))


PARTS = [{"type": "text/cloud-config", "name": "config", "text": "#cloud-config\nfinal_message: old parts\n"}]
STRING = "#cloud-config\nfinal_message: old string\n"


@pytest.mark.parametrize(
    ("answers", "own", "cloud_init"),
    [
        ({"own": STRING}, STRING, STRING),
        ({"parts": PARTS}, PARTS[0]["text"], PARTS[0]["text"]),
        ({"own": STRING, "parts": PARTS}, STRING, PARTS[0]["text"]),
        ({"own": {}}, {}, {}),
        ({"parts": {}}, {}, {}),
    ],
)
def test_a_pin_of_0_1_0_is_the_answer_of_its_target_and_of_the_other(
    tmp_path: Path, answers: dict[str, object], own: object, cloud_init: object
) -> None:
    """What 0.1.0 pinned for a target stays its answer, and where it pinned for one alone, it is the other's too."""
    pin(tmp_path, **answers)
    with serve(Pinned, directory=tmp_path) as server:
        for _ in range(2):
            assert (own, cloud_init) == (server.ask("pinned").json, server.ask("/cloud-init").json)
    assert [] == Join.runs


def test_both_answers_expire_together(tmp_path: Path) -> None:
    """With pin_for the answers of both targets expire at the same moment."""
    with serve(ForAWhile, directory=tmp_path) as server:
        ask(server, "/cloud-init", "for-a-while")
    statement = "SELECT DISTINCT expires_at IS NULL, count(*) OVER (PARTITION BY expires_at) FROM pins"
    url = f"sqlite:///{tmp_path}/pins.db"
    assert [(0, 2)] == with_store(url, lambda store: execute(store.database, statement))


def test_several_parts_are_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both targets get the same message for several parts."""
    parts = [CloudConfig({"timezone": "UTC"}), Script("#!/bin/sh\n", name="setup")]
    monkeypatch.setattr(Join, "script", staticmethod(lambda run: parts))
    with serve(Pinned) as server:
        own, joined = ask(server, "pinned", "/cloud-init")
    assert own == joined
    assert own.startswith("Content-Type: multipart/mixed;")
