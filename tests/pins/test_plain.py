"""A plain row in the table of pins, where a server has keys: somebody else may have put it there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.pin_operator import NEW, Operator, seen
from tests.support.pin_stores import KINDS, database_url, make_table
from tests.support.serving import INSTANCE, error_of, running, section, write_config

PINNED = b'{"made":"before there were keys"}'
REFUSAL = "the pinned answer is not encrypted, and [pins] allow_plain is not set"


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_pin_is_refused_unless_it_is_allowed(tmp_path: Path, fake: FakeKeystone, kind: str) -> None:
    """With keys a plain row is 503 and no new run; with `allow_plain` it is returned until it has been encrypted."""
    with database_url(kind, tmp_path) as url:
        make_table(url)
        operator = Operator(tmp_path, url, [NEW], allow_plain=True)
        operator.pin((INSTANCE, "pinned"), answer=PINNED)

        def answer_with(*, allow_plain: bool) -> object:
            pins = {"encryption_keys": NEW, "allow_plain": allow_plain}
            sections = section("database", {"connection": url}) + section("pins", pins)
            sections += section("handler:pinned", {"runs": tmp_path})
            handlers = "tests.support.handlers.keeping:Pinned"
            (tmp_path / "server").mkdir(exist_ok=True)
            with running(write_config(tmp_path / "server", fake, handlers=handlers, sections=sections)) as server:
                response = server.ask("/pinned", fake.issue("service"))
            return response.content if response.status_code == 200 else error_of(response)

        assert (503, "pins_unavailable", REFUSAL) == answer_with(allow_plain=False)
        assert PINNED == answer_with(allow_plain=True)
        assert (0, "1 pin encrypted with the newest key, 0 already were\n", "") == seen(operator.run("pins", "rotate"))
        assert PINNED == answer_with(allow_plain=False)
