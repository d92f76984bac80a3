"""The report of a run: explanations, totals, JSON and JUnit XML."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests.support.faults import answer, instead
from tests.support.faulty import NOVA, Fault, Reply, error, serving
from vendorsrv.contract.junit import as_junit
from vendorsrv.contract.report import as_json, explain, shape, summary
from vendorsrv.contract.suite import Report, check

SECRET = "planted-secret"
NOT_FATAL = "even with vendordata_dynamic_failure_fatal off"


def report_of(fault: Fault = lambda _, usual: usual, *only: str) -> Report:
    """Try some cases on a server with a fault."""
    with serving(fault) as url:
        return check(f"rack@{url}/", caller=NOVA, only=only)


def lines_of(report: Report, number: int = 0) -> list[str]:
    """Explain a verdict; ports and times differ from run to run."""
    return list(explain(report.verdicts[number]))


def test_a_failure_is_explained() -> None:
    """A failure is explained by what was sent and received, what Nova makes of it, and why it matters."""
    refused = report_of(instead(error(500, "no such rack")), "answer-status")
    first, sent, came, nova, why = lines_of(refused)
    assert first.startswith("answer-status (must): Nova's usual request is answered with 2xx: failed: status 500, ")
    assert "  sent:      POST Nova's usual body, a valid token" == sent
    assert came.startswith("  received:  status 500, application/json, 38 bytes, 0.")
    assert came.endswith(" s: no such rack (HTTP 500) (Request-ID: req-1)")
    assert (
        "  Nova:      uses {} instead: the server answered 500; with vendordata_dynamic_failure_fatal it raises "
        "InternalServerError, and an instance with a config drive is ERROR" == nova
    )
    assert why.startswith("  why:       With any other status the instance gets {}")


def test_what_was_not_tested_is_explained() -> None:
    """A case that was not tested is explained by the reason and by why it matters."""
    first, why = lines_of(report_of(instead(error(500)), "answer-json"))
    assert "not tested: Nova's usual request has no good answer: status 500" in first
    assert why.startswith("  why:       ")


@pytest.mark.parametrize(
    ("fault", "case", "nova"),
    [
        (answer('{"a": 1, "b": 2}'), "answer-status", "keeps an object of 2 members: a, b"),
        (
            answer("[" * 100_000 + "]" * 100_000),
            "answer-json",
            f"raises RecursionError, {NOT_FATAL}: its JSON is nested too deep for Nova's parser",
        ),
        (
            instead(Reply(307, "", {"Location": "http://elsewhere.example/"})),
            "answer-redirect",
            "follows a 307 as a POST with the instance's data and the token, here to another server",
        ),
        (
            answer(json.dumps("x" * 9 * 2**20)),
            "answer-size",
            "reads on: it has no limit of size, and its time limit is for each read",
        ),
    ],
)
def test_the_explanation_says_what_nova_makes_of_an_answer(fault: Fault, case: str, nova: str) -> None:
    """The explanation describes in words what Nova makes of each kind of answer."""
    assert f"  Nova:      {nova}" == lines_of(report_of(fault, case))[3]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "an object of 0 members"),
        (dict.fromkeys("abcdefgh"), "an object of 8 members: a, b, c, d, e, f, …"),
        ([1, 2], "a list of 2"),
        (SECRET, "a string of 14 characters"),
        (None, "null"),
        (True, "true or false"),
        (17, "a number"),
    ],
)
def test_a_value_is_described_and_not_shown(value: object, words: str) -> None:
    """A value is described by its type, its size and the names of members."""
    assert words == shape(value)


def test_no_report_contains_the_answer_or_the_token() -> None:
    """No report contains the answer's values or the token, wherever the server puts them."""
    fault = answer(json.dumps({"password": SECRET, NOVA: SECRET}), Content_Type=f"application/json; {NOVA}")
    report = report_of(fault)
    lines = "".join(line for verdict in report.verdicts for line in explain(verdict))
    shown = lines + json.dumps(as_json(report)) + as_junit(report).decode()
    assert (False, False) == (SECRET in shown, NOVA in shown)
    assert "an object of 2 members: password, <token>" in shown


def test_the_summary_begins_with_the_server() -> None:
    """The summary is one line that begins with the server's URL."""
    report = report_of(instead(error(500)), "answer")
    assert summary(report).startswith(f"{report.target}: 12 cases: ")


def test_json_has_the_whole_report() -> None:
    """The JSON object has the totals and every case, with what was sent and received."""
    found = as_json(report_of(answer(""), "answer-empty", "caller-tenant-token"), strict=True)
    failed = found["cases"][1]
    assert ("rack", False, 2) == (found["name"], found["passes"], found["requests"])
    assert ("answer-empty", "what Nova can read", "should", "failed", "the answer is empty") == tuple(
        failed[name] for name in ("id", "group", "severity", "outcome", "found")
    )
    assert ("POST Nova's usual body, a valid token", "keeps an object of 0 members") == (failed["sent"], failed["nova"])
    assert (200, "application/json", 0, "") == tuple(
        failed["received"][name] for name in ("status", "content_type", "bytes", "error")
    )
    assert (None, None, None) == tuple(found["cases"][0][name] for name in ("sent", "received", "nova"))


def test_json_without_a_content_type() -> None:
    """The JSON object has null for an absent Content-Type."""
    found = as_json(report_of(answer("{}", Content_Type=""), "answer-status"))
    assert found["cases"][0]["received"]["content_type"] is None


def junit_of(fault: Fault, *only: str, strict: bool = False) -> ElementTree.Element:
    """Read the JUnit XML of a run."""
    return ElementTree.fromstring(as_junit(report_of(fault, *only), strict=strict))  # noqa: S314  our own


def test_junit_has_a_suite_for_each_group() -> None:
    """JUnit XML has a suite for each group, with the tests' names, times and numbers."""
    root = junit_of(lambda _, usual: usual, "caller", "time-answer")
    assert ("testsuites", "10", "0", "0", "1") == (
        root.tag,
        *(root.get(name) for name in ("tests", "failures", "errors", "skipped")),
    )
    assert ["contract.caller: who may call", "contract.time: time"] == [suite.get("name") for suite in root]
    cases = root.findall("./testsuite/testcase")
    assert {("contract.caller", "caller-no-token"), ("contract.time", "time-answer")} <= {
        (case.get("classname"), case.get("name")) for case in cases
    }
    assert [] == [case.get("name") for case in cases if float(case.get("time") or -1) < 0]


def test_a_must_is_a_failure_in_junit() -> None:
    """A failed must is a failure in JUnit XML, with the finding and the explanation."""
    failure = junit_of(instead(error(500)), "answer-status").find("./testsuite/testcase/failure")
    assert failure is not None
    assert "must" == failure.get("type")
    assert (failure.get("message") or "").startswith("status 500, ")
    assert "  Nova:      uses {} instead" in (failure.text or "")


@pytest.mark.parametrize(("strict", "element"), [(False, "skipped"), (True, "failure")])
def test_a_should_counts_in_junit_as_in_the_exit_status(strict: bool, element: str) -> None:
    """A failed should is a failure in JUnit XML only when strict, and skipped otherwise."""
    root = junit_of(answer(""), "answer-empty", strict=strict)
    assert [element] == [child.tag for child in root.findall("./testsuite/testcase/*")]


def test_an_info_passes_in_junit() -> None:
    """A failed info is a passed test in JUnit XML, with the finding as its output."""
    found = junit_of(answer('"same"'), "again-other-instance").find("./testsuite/testcase/system-out")
    assert found is not None
    assert "failed: both instances got the same answer." in (found.text or "")
