"""The contract's cases as tests of a vendor's own: ``test_contract = contract_tests("http://127.0.0.1:9090/mail")``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeGuard

import pytest

from vendorsrv.contract.case import Case
from vendorsrv.contract.report import explain
from vendorsrv.contract.session import Subject, Talk
from vendorsrv.contract.suite import judge, select

#: The generated test function.
Test = Callable[..., None]


def contract_tests(
    server: str | Subject, *, only: Collection[str] = (), skip: Collection[str] = (), strict: bool = False
) -> Test:
    """Make a test function with a test for each case, whose id is the case's.

    A failed ``must`` fails its test. A failed ``should`` is an expected failure (``xfail``) with what was found as the
    reason, or fails when strict. An ``info`` never fails. What cannot be tested is skipped, with the reason.

    :param server: ``[NAME@]URL``; or a :class:`Subject`, which has tokens too; or the name of a fixture that gives one
        of them, for a server that the tests start.
    :param only: ids of cases, or names of groups; all by default.
    :param skip: those that are not wanted.
    :raises ConfigError: there is no such case.
    """
    talks: list[Talk] = []

    @pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in select(only, skip)])
    def test_contract(case: Case, request: pytest.FixtureRequest) -> None:
        """The server does what Nova and cloud-init need."""
        subject = subject_of(server, request)
        if not talks or talks[-1].subject != subject:  # the fixture has started another server
            talks.append(Talk(subject))
        decide(case, talks[-1], strict=strict)

    return pytest.mark.usefixtures(server)(test_contract) if is_fixture(server) else test_contract


def is_fixture(server: str | Subject) -> TypeGuard[str]:
    return isinstance(server, str) and "://" not in server


def subject_of(server: str | Subject, request: pytest.FixtureRequest) -> Subject:
    given = request.getfixturevalue(server) if is_fixture(server) else server
    return given if isinstance(given, Subject) else Subject(given)


def decide(case: Case, talk: Talk, *, strict: bool) -> None:
    verdict = judge(case, talk)
    lines = "\n".join(explain(verdict))
    if verdict.outcome == "not tested":
        pytest.skip(verdict.found)
    if verdict.outcome == "failed" and (case.severity == "must" or (strict and case.severity == "should")):
        pytest.fail(lines, pytrace=False)
    if verdict.outcome == "failed" and case.severity == "should":
        pytest.xfail(verdict.found)
