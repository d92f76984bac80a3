"""Processes that ask for the same instances at once get one answer for each, from one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.pin_racing import boot, race
from tests.support.pin_stores import KINDS, database_url, execute, make_table, new_instance, with_store

PROCESSES = 6
INSTANCES = 300


@pytest.mark.parametrize("kind", KINDS)
def test_racing_processes_get_one_answer_for_each_instance(kind: str, tmp_path: Path) -> None:
    """Six processes that each ask six times for 300 instances cause 300 runs, 300 answers and no error."""
    instances = [new_instance() for _ in range(INSTANCES)]
    runs = tmp_path / "runs"
    with database_url(kind, tmp_path) as url:
        make_table(url)
        answers: list[Sequence[set[bytes]]] = race(PROCESSES, boot, url, instances, str(runs))
        assert [] == [answer for answer in answers if isinstance(answer, str)]
        of_each = [set().union(*found) for found in zip(*answers, strict=True)]
        assert (INSTANCES, {1}) == (len(of_each), {len(found) for found in of_each})
        assert sorted(instances) == sorted(runs.read_text().split())
        assert [(INSTANCES,)] == with_store(url, lambda store: execute(store.database, KEPT))


KEPT = "SELECT count(*) FROM pins WHERE answer IS NOT NULL AND owner IS NULL"
