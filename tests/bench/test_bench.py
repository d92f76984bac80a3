"""The benchmarks' machinery: what wrk says is read, rows say what was asked and missed, and one contender runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench import five, machine, reads, single_flight, throughput
from bench.__main__ import BENCHMARKS, main
from bench.bare import serving_bare
from bench.contenders import CONTENDERS, Contender, bodies
from bench.cores import on_core
from bench.goals import at_least, at_most, exactly
from bench.wrk import Run, drive, parse, script
from tests.support.pages import code, page, prose, rows, section
from tests.support.real_peers import require, require_program

#: What wrk 4.1 prints, and the script below it.
OUTPUT = """\
Running 1s test @ http://127.0.0.1:41317/mail
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.93ms    9.60ms  71.00ms   95.16%
    Req/Sec     8.60k     2.65k   14.03k    80.00%
  8627 requests in 1.01s, 1.79MB read
  Non-2xx or 3xx responses: 3
Requests/sec:   8566.96
Transfer/sec:      1.78MB

{"requests": 8627, "microseconds": 1000000, "p50": 1720, "p99": 60020, "longest": 71000, \
"errors": {"connect": 0, "read": 0, "write": 0, "status": 3, "timeout": 0}}
"""
KEPT: dict[str, Any] = {
    "machine": {"cores": 2, "versions": {"uvicorn": "0.54.0", "wrk": "4.1.0"}},
    "benchmarks": {
        "throughput": [{"what": "floor / floor", "ratio": "1"}, {"what": "a / floor", "ratio": "0.5", "reached": "yes"}]
    },
}


def runs(*rates: float, **errors: int) -> list[Run]:
    """Give a run for each rate, the last one with these errors."""
    found = [Run(rate, 1.0, 2.0, {}) for rate in rates]
    return [*found[:-1], Run(rates[-1], 1.0, 2.0, errors)]


def figures(found: dict[str, list[Run]]) -> dict[str, tuple[object, object]]:
    """Give the ratio of each row, and whether it is what was asked for."""
    return {str(row["what"]): (row["ratio"], row["reached"]) for row in throughput.rows(found)}


def test_what_wrk_found_is_read() -> None:
    """Answered requests a second, milliseconds, and the kinds of errors that there were."""
    assert Run(8627.0, 1.72, 60.02, {"status": 3}, 8627) == parse(OUTPUT)


def test_wrk_asks_as_nova_does() -> None:
    """The script has Nova's headers, the token, and every body."""
    text = script("gAAAA", [b'{"a": 1}', b'{"a": 2}'])
    assert 'wrk.method = "POST"' in text
    assert "wrk.headers[ [==[User-Agent]==] ] = [==[openstack-nova-vendordata]==]" in text
    assert "wrk.headers[ [==[X-Auth-Token]==] ] = [==[gAAAA]==]" in text
    assert '  [==[{"a": 1}]==],\n  [==[{"a": 2}]==],\n' in text


def test_each_body_is_of_another_instance() -> None:
    """Bodies differ in the instance alone, so that no two requests want the same answer."""
    found = [json.loads(body) for body in bodies(3)]
    assert 3 == len({each.pop("instance-id") for each in found})
    assert [found[0]] * 3 == found


def test_a_contender_is_compared_with_the_floor_of_its_round() -> None:
    """A machine that is busy in one round is busy for both."""
    found = {"floor": runs(1000, 100, 1000), "vendorsrv-cached": runs(500, 50, 300)}
    assert {"floor / floor": ("1", ""), "vendorsrv-cached / floor": ("0.5", "yes")} == figures(found)


def test_pairs_that_something_is_asked_of() -> None:
    """Of each rival of vendorsrv it is said how far away it is."""
    found = {"floor": runs(1000), "fastapi": runs(300), "wsgi-gunicorn": runs(10), "vendorsrv": runs(450)}
    assert {
        "floor / floor": ("1", ""),
        "fastapi / floor": ("0.3", ""),
        "wsgi-gunicorn / floor": ("0.01", ""),
        "vendorsrv / floor": ("0.45", "no, 10% below"),
        "vendorsrv / fastapi": ("1.5", "no, 25% below"),
        "vendorsrv / wsgi-gunicorn": ("45", "yes"),
    } == figures(found)


def test_a_run_with_errors_is_no_result() -> None:
    """Whatever was answered besides them, and whichever of the two had them."""
    found = {"floor": runs(1000, 1000), "vendorsrv-cached": runs(500, 900, status=3, timeout=1)}
    assert ("no result", "no result: 3 status, 1 timeout") == figures(found)["vendorsrv-cached / floor"]


@pytest.mark.parametrize(
    ("columns", "goal", "reached"),
    [
        (at_least(0.5, 0.5), "at least 0.5", "yes"),
        (at_least(0.4, 0.5), "at least 0.5", "no, 20% below"),
        (at_most(1.3, 1.3), "at most 1.3", "yes"),
        (at_most(1.95, 1.3), "at most 1.3", "no, 50% above"),
        (exactly(1, 1), "exactly 1", "yes"),
        (exactly(31, 1), "exactly 1", "no, +30"),
    ],
)
def test_by_how_much_a_figure_is_missed(columns: dict[str, str], goal: str, reached: str) -> None:
    """A row says what was asked, whether it was reached, and how far it is."""
    assert {"goal": goal, "reached": reached} == columns


def test_the_rows_of_what_is_counted() -> None:
    """Five handlers beside one, and Keystone's calls for one token."""
    assert ("no, 54% above", "400.0 / 200.0") == tuple(
        five.row([200.0], [400.0])[name] for name in ("reached", "milliseconds")
    )
    assert "31" == str(single_flight.row("wsgi-gunicorn", (31, "100 x 200"))["calls"])


def test_the_statement_that_is_explained() -> None:
    """It is the one that reads a pin, for one instance and one handler."""
    assert "WHERE pins.instance_id = '" in reads.statement_for("postgresql://postgres@127.0.0.1/pins")
    assert "AND pins.handler = 'pinned'" in reads.statement_for("mysql+pymysql://root@127.0.0.1/pins")


def test_the_machine_is_described() -> None:
    """What it is, what runs on it, and when."""
    require("gunicorn", "no gunicorn: make test installs it")
    found = machine.kind()
    assert {"cpu", "cores", "memory", "kernel", "python", "versions", "commit", "date", "load"} == set(found)
    assert "Intel(R) Xeon(R) Processor" == machine.model("processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Processor\n")


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--markdown", "| a / floor | 0.5 | yes |\n"),
        ("--json", '"what": "a / floor",\n'),
        ("--quick", "\na / floor      0.5    yes\n"),
    ],
)
def test_what_was_kept_is_shown(tmp_path: Path, option: str, shown: str) -> None:
    """A run's JSON is shown in each form, without measuring again."""
    kept = tmp_path / "bench.json"
    kept.write_text(json.dumps(KEPT))
    assert shown in CliRunner().invoke(main, [option, "--from", str(kept)]).output


def test_a_process_has_a_core_of_its_own() -> None:
    """Who drives and who is driven do not take it from each other."""
    with on_core(0):
        done = subprocess.run(
            [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"], check=True, capture_output=True
        )
    assert b"1\n" == done.stdout
    assert os.cpu_count() == len(os.sched_getaffinity(0))


def test_a_contender_is_driven(tmp_path: Path) -> None:
    """The floor answers wrk for a second, without an error."""
    require_program("wrk")
    with serving_bare(tmp_path, "floor") as url:
        run = drive(f"{url}/mail", "gAAAA", bodies(10), seconds=1, connections=4)
    assert (True, {}) == (run.rate > 100, run.errors)


def test_a_contender_that_answers_wrong_is_no_contender(tmp_path: Path) -> None:
    """Its answers are looked at before it is driven."""
    with serving_bare(tmp_path, "fastapi") as url:
        Contender("fastapi", f"{url}/mail", os.getpid()).check("gAAAA")
        with pytest.raises(AssertionError, match="fastapi"):
            Contender("fastapi", f"{url}/elsewhere", os.getpid()).check("gAAAA")


def test_every_contender_is_documented() -> None:
    """performance.md says what each one is, in the words of the code."""
    table = {code(row[0]): row[1] for row in rows(section(page("performance"), "## The contenders"))}
    assert CONTENDERS == table


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_documented(name: str) -> None:
    """performance.md says what each one measures, and has a table of it."""
    assert name in [code(row[0]) for row in rows(section(page("performance"), "## What is measured"))]
    assert f"\n### {name}\n" in prose(page("performance"))
