"""A run of the contract as JUnit XML, which CI systems read."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from vendorsrv.contract.case import GROUPS, Group
from vendorsrv.contract.report import explain, summary
from vendorsrv.contract.suite import Report, Verdict


def as_junit(report: Report, *, strict: bool = False) -> bytes:
    """Return a whole document, with a suite for each group.

    A failed ``should`` is a failure when strict and a skipped test otherwise, so that the CI system agrees with the
    exit status. A failed ``info`` is a passed test.
    """
    root = Element("testsuites", name="vendorsrv contract")
    for group, title in GROUPS.items():
        verdicts = [verdict for verdict in report.verdicts if verdict.case.group == group]
        if verdicts:
            add_suite(root, group, title, verdicts, strict=strict)
    count(root)
    root.set("time", f"{report.seconds:.3f}")
    SubElement(root[0], "system-out").text = summary(report)
    indent(root)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def add_suite(root: Element, group: Group, title: str, verdicts: list[Verdict], *, strict: bool) -> None:
    suite = SubElement(root, "testsuite", name=f"contract.{group}: {title}")
    for verdict in verdicts:
        add_case(suite, verdict, strict=strict)
    count(suite)
    suite.set("time", f"{sum(verdict.seconds for verdict in verdicts):.3f}")
    suite.set("timestamp", datetime.now(UTC).isoformat(timespec="seconds"))


def add_case(suite: Element, verdict: Verdict, *, strict: bool) -> None:
    case = verdict.case
    seconds = f"{verdict.seconds:.3f}"
    element = SubElement(suite, "testcase", classname=f"contract.{case.group}", name=case.id, time=seconds)
    lines = "\n".join(explain(verdict))
    if verdict.outcome == "not tested":
        SubElement(element, "skipped", message=verdict.found)
    elif verdict.counts(strict=strict):
        SubElement(element, "failure", type=case.severity, message=verdict.found).text = lines
    elif verdict.outcome == "failed" and case.severity == "should":
        # Not a failure that does not count: for that a CI system would fail the whole run.
        SubElement(element, "skipped", message=f"should: {verdict.found}").text = lines
    else:
        SubElement(element, "system-out").text = lines


def count(element: Element) -> None:
    """Set the numbers of tests in a suite, or in all suites."""
    for name, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(name, str(len(list(element.iter(tag)))))
