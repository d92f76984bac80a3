"""docs/metrics.md has every metric and every label, and its alerts ask for such as there are."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.pages import blocks, code, page, rows, section
from vendorsrv.errors import all_errors
from vendorsrv.telemetry.exposition import Collected
from vendorsrv.telemetry.metrics import BOUNDS, FAMILIES, SOURCES, Metrics

PAGE = page("metrics")
#: A metric in an expression, and what its labels are asked for.
ASKED = re.compile(r"(vendorsrv_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')
CODES = {error.code for error in all_errors()}
VALUES = {"code": CODES, "source": set(SOURCES), "outcome": {"ok", "refused", "slow", "failed", "unavailable"}}


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    (block,) = [each for each in blocks(PAGE, "yml") if each.name == "alerts.yml"]
    (group,) = yaml.safe_load(block.text)["groups"]
    return list(group["rules"])


def test_every_metric_is_documented_and_no_other() -> None:
    """By its name, kind and labels, in the order of the table in the code."""
    table = rows(section(PAGE, "## What is counted").partition("<!-- /metrics -->")[0])
    documented = [(code(name), kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels, _ in table]
    assert [(name, each.kind, list(each.labels)) for name, each in FAMILIES.items()] == documented


def test_every_metric_is_in_the_text() -> None:
    """Also those of which there is no series yet; their names are as Prometheus has them without the suffix."""
    names = [each.name for each in Collected(Metrics().counts).collect()]
    assert [name.removesuffix("_total") for name in FAMILIES] == names


def test_every_label_is_documented() -> None:
    """With its values."""
    second = section(PAGE, "## What is counted").partition("<!-- /metrics -->")[2]
    documented = {code(row[0].partition(" of ")[0]) for row in rows(second)}
    assert {label for family in FAMILIES.values() for label in family.labels} == documented | {"version"}
    assert set(SOURCES) <= set(re.findall(r"`(\w+)`", second))


def test_the_buckets_are_documented() -> None:
    """Each bound."""
    (sentence,) = re.findall(r"buckets up to ([^s]+) seconds", PAGE.read_text())
    assert list(BOUNDS) == [float(each) for each in re.split(r", | and ", sentence)]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is(rule: dict[str, Any]) -> None:
    """For metrics that are counted, by labels that they have, with values that occur."""
    asked = ASKED.findall(rule["expr"])
    assert asked or rule["expr"].startswith("up{")
    for name, labels in asked:
        family = FAMILIES[name.removesuffix("_bucket")]
        assert name.endswith("_bucket") is (family.kind == "histogram")
        for label, values in MATCHER.findall(labels):
            assert label in family.labels
            assert set(values.split("|")) <= VALUES.get(label, set(values.split("|")))
    by = [each for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for each in group.split(", ")]
    known = {label for name, _ in asked for label in FAMILIES[name.removesuffix("_bucket")].labels}
    assert set(by) <= known | {"le", "instance"}
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= {*by, "instance"}


@pytest.mark.parametrize("failure", ["busy", "circuit_open", "pins_unavailable", "policy_unavailable", "unauthorized"])
def test_a_failure_that_nova_logs_has_an_alert(failure: str) -> None:
    """An alert rule of docs/metrics.md counts the failure by its error code."""
    assert f"`{failure}`" in section(page("failures"), "## What Nova logs")
    assert [rule for rule in rules() if re.search(rf'code=~?"[^"]*\b{failure}\b', rule["expr"])]
