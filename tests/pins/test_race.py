"""Many processes ask for many instances at once: every instance has one answer, made once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.pin_racing import boot, race
from tests.support.pin_stores import KINDS, database_url, execute, make_table, new_instance, with_store

PROCESSES = 6
INSTANCES = 300


@pytest.mark.parametrize("kind", KINDS)
def test_every_instance_has_one_answer(kind: str, tmp_path: Path) -> None:
    """Six processes, 300 instances, six calls for each from each: 300 runs, 300 answers, and no error."""
    instances = [new_instance() for _ in range(INSTANCES)]
    runs = tmp_path / "runs"
    with database_url(kind, tmp_path) as url:
        make_table(url)
        answers: list[Sequence[set[bytes]]] = race(PROCESSES, boot, url, instances, str(runs))
        assert [] == [answer for answer in answers if isinstance(answer, str)]
        of_each = [set().union(*found) for found in zip(*answers, strict=True)]
        assert (INSTANCES, {1}) == (len(of_each), {len(found) for found in of_each})
        assert sorted(instances) == sorted(runs.read_text().split())
        assert [(INSTANCES,)] == with_store(url, lambda store: execute(store, KEPT))


KEPT = "SELECT count(*) FROM pins WHERE answer IS NOT NULL AND owner IS NULL"
