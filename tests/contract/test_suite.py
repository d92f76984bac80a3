"""A run checks a server as told: which cases, with which token, for which instance, and for how long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session

from tests.support.faulty import NOVA, TENANT, Asked, Reply, error, serving, well
from tests.support.serving import free_port
from vendorsrv.contract import CASES, Case, Report, Subject, Verdict, check
from vendorsrv.contract.case import Judgement
from vendorsrv.contract.session import ContractSession
from vendorsrv.contract.suite import judge, select
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import Limits
from vendorsrv.nova.credentials import anonymous
from vendorsrv.testing.misbehaviour import Behaviour, hangs_up, silent
from vendorsrv.testing.upstream import FakeUpstream


class Account(BaseAuthPlugin):
    """An account with Nova's token, in a project of its own."""

    def get_token(self, session: Session, **_: Any) -> str:
        """Return Nova's token."""
        return NOVA

    def get_project_id(self, session: Session, **_: Any) -> str:
        """Return the token's project."""
        return "service"


class Recorder:
    """Answers as a good server, and records the requests."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    def __call__(self, asked: Asked, usual: Reply) -> Reply:
        """Record a request."""
        self.asked.append(asked)
        return usual


@pytest.fixture
def recorder() -> Recorder:
    """Return the recorder of a good server."""
    return Recorder()


@pytest.fixture
def url(recorder: Recorder) -> Iterator[str]:
    """A good server."""
    with serving(recorder) as base:
        yield f"{base}/mail"


def of(report: Report, case: str) -> Verdict:
    """Return the verdict of one case."""
    return next(verdict for verdict in report.verdicts if verdict.case.id == case)


def test_ids_are_unique_and_begin_with_the_group() -> None:
    """Each id begins with its group, and no two cases have the same id."""
    assert [] == [case.id for case in CASES if not case.id.startswith(f"{case.group}-")]
    assert len(CASES) == len({case.id for case in CASES})


def test_only_and_skip_select_cases(url: str) -> None:
    """Only and skip take ids and groups; the order is the contract's."""
    report = check(url, caller=NOVA, only=["time-answer", "caller"], skip=["caller-tenant-token"])
    assert [
        "caller-no-token",
        "caller-empty-token",
        "caller-garbage-token",
        "caller-valid-token",
        "caller-leaks-no-token",
        "caller-refusal-401",
        "caller-challenge",
        "caller-before-body",
        "time-answer",
    ] == [verdict.case.id for verdict in report.verdicts]


@pytest.mark.parametrize("option", ["only", "skip"])
def test_an_unknown_case_is_a_config_error(option: str) -> None:
    """An unknown id raises ConfigError with a suggestion."""
    with pytest.raises(ConfigError, match=r"^there is no case caller-no-tokens; did you mean caller-no-token\?$"):
        select(**{option: ["caller-no-tokens"]})


def test_an_invalid_target_is_a_config_error() -> None:
    """An invalid target raises ConfigError."""
    with pytest.raises(ConfigError, match=r"^mail is neither an http:// or https:// URL nor NAME@URL$"):
        check("mail")


def test_a_refused_connection_is_a_config_error() -> None:
    """A server that refuses the connection raises ConfigError."""
    url = f"http://127.0.0.1:{free_port()}/mail"
    with pytest.raises(
        ConfigError, match=f"^{url} cannot be called: no answer: the connection was refused or broke off, "
    ):
        check(url)


def test_the_name_comes_from_the_option_the_target_or_the_path(url: str) -> None:
    """The target's name is the given one, that of NAME@URL, or the last part of the path."""
    assert ["mail", "rack", "cloud-init"] == [
        check(target, name=name, only=["answer-redirect"]).name
        for target, name in ((url, None), (f"rack@{url}", None), (url, "cloud-init"))
    ]


def test_a_run_sends_at_most_forty_requests(url: str, recorder: Recorder) -> None:
    """A run counts its requests and sends at most forty."""
    report = check(url, caller=NOVA, tenant=TENANT)
    assert report.requests == len(recorder.asked)
    assert 40 >= report.requests


def test_instances_are_invented(url: str, recorder: Recorder) -> None:
    """Each changed body is for a new invented instance, with Nova's members."""
    check(url, caller=NOVA, only=["body-user-data-null", "body-image-id-empty"])
    assert 3 == len({asked.payload["instance-id"] for asked in recorder.asked})
    assert {
        "project-id",
        "instance-id",
        "image-id",
        "user-data",
        "hostname",
        "metadata",
        "boot-roles",
    } == set(recorder.asked[-1].payload)


def test_a_given_instance_is_the_only_one(url: str, recorder: Recorder) -> None:
    """With a given instance-id, no case uses another instance."""
    given = {"instance-id": "7b5a4a34-9e1f-4f0e-9f38-2f5d6a0b1c2d"}
    report = check(url, caller=NOVA, payload=given)
    sent = [json.loads(asked.body) for asked in recorder.asked if asked.body not in {b"", b"[]"} and asked.good]
    assert {given["instance-id"]} == {payload["instance-id"] for payload in sent}
    assert "only the given instance is used" == of(report, "again-other-instance").found


def test_a_server_that_knows_only_real_instances_can_be_checked() -> None:
    """Cases that need a new instance are not tested when it is refused; a given instance passes."""
    known: list[str] = []

    def behave(asked: Asked, usual: Reply) -> Reply:
        known.extend([] if known or not asked.good else [asked.payload["instance-id"]])
        return error(404) if asked.good and asked.payload["instance-id"] not in known else usual

    with serving(behave) as base:
        report = check(f"{base}/mail", caller=NOVA, only=["time-at-once", "again"])
        given = check(f"{base}/mail", caller=NOVA, payload={"instance-id": known[0]})
    assert ["time-at-once"] == [verdict.case.id for verdict in report.failures()]
    assert "some calls got no answer: see time-at-once" == of(report, "again-at-once").found
    assert of(report, "again-other-instance").found.startswith("this body is refused: status 404, ")
    assert () == given.failures()


def test_without_credentials_little_is_tested(url: str) -> None:
    """Without credentials, a case that needs a token is not tested and says which option to give."""
    report = check(url)
    assert {"not tested"} == {verdict.outcome for verdict in report.verdicts if verdict.case.group == "body"}
    assert of(report, "body-unicode").found.startswith(
        "this needs a valid token: give the credentials of Nova's account"
    )
    assert of(report, "caller-tenant-token").found.startswith("this needs a tenant's valid token: name a cloud")


def test_a_session_without_an_account_gives_no_token(url: str) -> None:
    """A session without an account counts as no credentials."""
    assert "not tested" == of(check(url, caller=anonymous()), "caller-valid-token").outcome


def test_a_server_without_authentication_is_tested_without_a_token() -> None:
    """A server that requires no token is tested without one."""
    with serving(lambda asked, _: well(asked._replace(token=NOVA))) as base:
        report = check(f"{base}/mail")
    assert {"caller-no-token", "caller-empty-token", "caller-garbage-token"} == {
        verdict.case.id for verdict in report.failures()
    }
    unicode = of(report, "body-unicode").exchange
    assert unicode is not None
    assert "POST Nova's body with metadata in other scripts, no token" == unicode.request.description


def test_a_server_that_wants_the_tokens_project_is_found() -> None:
    """A server that answers only for the token's project fails body-other-project."""

    def own(asked: Asked, usual: Reply) -> Reply:
        return error(404) if asked.good and asked.payload["project-id"] != "service" else usual

    with serving(own) as base:
        report = check(f"{base}/mail", caller=Session(auth=Account()))
    assert {"body-other-project", "answer-status"} == {verdict.case.id for verdict in report.failures()}


def test_a_server_that_refuses_both_projects_has_another_fault() -> None:
    """A server that also refuses the token's project does not fail body-other-project."""
    with serving(lambda asked, usual: error(404) if asked.good else usual) as base:
        report = check(f"{base}/mail", caller=Session(auth=Account()))
    assert {"answer-status"} == {verdict.case.id for verdict in report.failures()}
    assert of(report, "body-other-project").found.startswith("Nova's usual request has no good answer: status 404, ")


def test_no_redirect_is_followed() -> None:
    """A redirect is a failure and is not followed, so the token goes nowhere else."""
    with FakeUpstream() as elsewhere:
        moved = Reply(307, "", {"Location": elsewhere.url})
        with serving(lambda asked, usual: moved if asked.good else usual) as base:
            report = check(f"{base}/mail", caller=NOVA)
    assert [] == elsewhere.received
    assert "Nova follows a 307 as a POST with the instance's data and the token, here to another server" == (
        of(report, "answer-redirect").found
    )


def test_a_server_that_hangs_up_on_strangers_is_not_judged() -> None:
    """Cases of refusals are not tested when the server closes the connection without an answer."""

    def behave(asked: Asked, usual: Reply) -> Reply | Behaviour:
        return usual if asked.may else hangs_up

    with serving(behave) as base:
        report = check(f"{base}/mail", caller=NOVA)
    assert ["not tested"] * 3 == [
        of(report, case).outcome for case in ("caller-no-token", "caller-refusal-401", "caller-challenge")
    ]
    assert set() == {verdict.case.id for verdict in report.failures()}


def test_a_server_that_never_answers_fails_one_case() -> None:
    """A server that never answers fails time-answer alone, after fewer than ten requests."""
    with serving(lambda _, __: silent) as base:
        report = check(f"{base}/mail", caller=NOVA, limits=Limits(read_timeout=0.2))
    assert ({"time-answer"}, True) == ({verdict.case.id for verdict in report.failures()}, report.requests < 10)
    assert "there was no answer within 0.2 s" == of(report, "time-answer").found


def test_an_answer_too_deep_for_a_case_is_not_tested(url: str) -> None:
    """A case that fails with RecursionError is not tested, and the run continues."""

    def deep(_: ContractSession) -> Judgement:
        value: list[object] = []
        for _level in range(100_000):
            value = [value]
        raise AssertionError(json.dumps(value))

    case = Case("again-deep", "again", "info", "It is deep", "nothing", "It may be", deep)
    verdict = judge(case, ContractSession(Subject(url)))
    assert ("not tested", "its JSON is nested too deep: see answer-strict") == (verdict.outcome, verdict.found)


def test_no_request_is_sent_after_the_time_limit(url: str) -> None:
    """After the time limit no request is sent, and the remaining cases are not tested."""
    report = check(url, caller=NOVA, budget=0)
    assert (1, "not tested", "the time limit of 0 s was reached") == (
        report.requests,
        of(report, "caller-valid-token").outcome,
        of(report, "caller-valid-token").found,
    )


@pytest.mark.parametrize(("fault", "passes", "strictly"), [(413, False, False), (400, True, False), (405, True, True)])
def test_severities_count_differently(fault: int, passes: bool, strictly: bool) -> None:
    """A failed must counts always, a should when strict, and an info never."""

    def behave(asked: Asked, usual: Reply) -> Reply:
        if fault == 413 and asked.good:
            return error(413)
        return Reply(200, "{}") if usual.status == fault == 405 else error(500) if usual.status == fault else usual

    with serving(behave) as base:
        report = check(f"{base}/mail", caller=NOVA)
    assert (passes, strictly) == (report.passes(), report.passes(strict=True))
    assert report.failures()
