"""docs/metrics.md documents every metric and label, and its alert rules use existing ones."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.pages import blocks, code, page, rows, section
from vendorsrv.errors import all_errors
from vendorsrv.telemetry.exposition import CountsCollector
from vendorsrv.telemetry.families import FAMILIES
from vendorsrv.telemetry.metrics import BOUNDS, SOURCES, Metrics

PAGE = page("metrics")
#: A metric in an expression, and the matchers of its labels.
SELECTOR = re.compile(r"(vendorsrv_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')
CODES = {error.code for error in all_errors()}
VALUES = {
    "code": CODES,
    "source": set(SOURCES),
    "outcome": {"ok", "missing", "refused", "timeout", "failed", "unavailable", "given_up"},
}


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    (block,) = [each for each in blocks(PAGE, "yml") if each.name == "alerts.yml"]
    (group,) = yaml.safe_load(block.text)["groups"]
    return list(group["rules"])


def test_every_metric_is_documented_and_no_other() -> None:
    """The page lists each metric with its kind and labels, in the order of the code."""
    table = rows(section(PAGE, "## Reference").partition("<!-- /metrics -->")[0])
    documented = [(code(name), kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels, _ in table]
    assert [(name, each.kind, list(each.labels)) for name, each in FAMILIES.items()] == documented


def test_every_metric_is_exposed() -> None:
    """Each metric is in the text, also before its first time series."""
    names = [each.name for each in CountsCollector(Metrics().counts).collect()]
    assert [name.removesuffix("_total") for name in FAMILIES] == names


def test_every_label_is_documented() -> None:
    """The page explains each label, and each source of answers."""
    second = section(PAGE, "## Reference").partition("<!-- /metrics -->")[2]
    documented = {code(row[0].partition(" of ")[0]) for row in rows(second)}
    assert {label for family in FAMILIES.values() for label in family.labels} == documented | {"version"}
    assert set(SOURCES) <= set(re.findall(r"`(\w+)`", second))


def test_the_page_uses_only_existing_metrics() -> None:
    """Each metric in the page's text, queries and rules exists."""
    found = {re.sub("_bucket$", "", name) for name in re.findall(r"vendorsrv_\w+", PAGE.read_text())}
    assert set(FAMILIES) == found


def test_the_buckets_are_documented() -> None:
    """The page lists the bound of each bucket."""
    (sentence,) = re.findall(r"upper bounds ([^s]+) seconds", PAGE.read_text().replace("\n", " "))
    assert list(BOUNDS) == [float(each) for each in re.split(r", | and ", sentence)]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_uses_existing_metrics(rule: dict[str, Any]) -> None:
    """An alert rule uses existing metrics with labels and label values that occur."""
    selectors = SELECTOR.findall(rule["expr"])
    assert selectors or rule["expr"].startswith("up{")
    for name, labels in selectors:
        family = FAMILIES[name.removesuffix("_bucket")]
        assert name.endswith("_bucket") is (family.kind == "histogram")
        for label, values in MATCHER.findall(labels):
            assert label in family.labels
            assert set(values.split("|")) <= VALUES.get(label, set(values.split("|")))
    by = [each for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for each in group.split(", ")]
    known = {label for name, _ in selectors for label in FAMILIES[name.removesuffix("_bucket")].labels}
    assert set(by) <= known | {"le", "instance"}
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= {*by, "instance"}


@pytest.mark.parametrize("error", ["busy", "circuit_open", "pins_unavailable", "policy_unavailable", "unauthorized"])
def test_an_error_that_an_operator_must_mend_has_an_alert(error: str) -> None:
    """Each error whose cause is outside the handlers has an alert rule on its code."""
    assert error in CODES
    assert [rule for rule in rules() if re.search(rf'code=~?"[^"]*\b{error}\b', rule["expr"])]
