"""The contract's cases as tests of your own: ``test_contract = contract_tests("http://127.0.0.1:9090/mail")``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeGuard

import pytest

from vendorsrv.contract.case import Case
from vendorsrv.contract.report import explain
from vendorsrv.contract.session import ContractSession, Subject
from vendorsrv.contract.suite import judge, select


def contract_tests(
    server: str | Subject, *, only: Collection[str] = (), skip: Collection[str] = (), strict: bool = False
) -> Callable[..., None]:
    """Return a test function with one test for each case; the test's id is the case's.

    A failed ``must`` fails its test. A failed ``should`` is an expected failure (``xfail``) with the finding as the
    reason, or fails when strict. An ``info`` never fails. A case that cannot be tested is skipped, with the reason.

    :param server: ``[NAME@]URL``; a :class:`Subject`, which has tokens too; or the name of a fixture that returns one
        of them, for a server that the tests start.
    :param only: ids of cases, or names of groups, to run; all by default.
    :param skip: ids of cases, or names of groups, not to run.
    :raises ConfigError: there is no such case.
    """
    sessions: list[ContractSession] = []

    @pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in select(only, skip)])
    def test_contract(case: Case, request: pytest.FixtureRequest) -> None:
        """The server does what Nova and cloud-init need."""
        given = request.getfixturevalue(server) if is_fixture(server) else server
        subject = given if isinstance(given, Subject) else Subject(given)
        if not sessions or sessions[-1].subject != subject:  # the fixture has started another server
            sessions.append(ContractSession(subject))
        verdict = judge(case, sessions[-1])
        if verdict.outcome == "not tested":
            pytest.skip(verdict.found)
        if verdict.counts(strict=strict):
            pytest.fail("\n".join(explain(verdict)), pytrace=False)
        if verdict.outcome == "failed" and case.severity == "should":
            pytest.xfail(verdict.found)

    return pytest.mark.usefixtures(server)(test_contract) if is_fixture(server) else test_contract


def is_fixture(server: str | Subject) -> TypeGuard[str]:
    return isinstance(server, str) and "://" not in server
