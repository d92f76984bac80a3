"""The benchmarks' own code: reading wrk's output, rows and goals, contenders, and the documentation."""

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

#: The output of wrk 4.1, with the script's JSON as its last line.
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
STORED: dict[str, Any] = {
    "machine": {"cores": 2, "versions": {"uvicorn": "0.54.0", "wrk": "4.1.0"}},
    "benchmarks": {
        "throughput": [{"what": "floor / floor", "ratio": "1"}, {"what": "a / floor", "ratio": "0.5", "reached": "yes"}]
    },
}


def runs(*rates: float, **errors: int) -> list[Run]:
    """Return a run for each rate; the last one has these errors."""
    found = [Run(rate, 1.0, 2.0, {}) for rate in rates]
    return [*found[:-1], Run(rates[-1], 1.0, 2.0, errors)]


def figures(found: dict[str, list[Run]]) -> dict[str, tuple[object, object]]:
    """Return the ratio of each row, and its verdict."""
    return {str(row["what"]): (row["ratio"], row["reached"]) for row in throughput.rows(found)}


def test_the_output_of_wrk_is_parsed() -> None:
    """The rate, the latencies in milliseconds and the errors by kind are read from wrk's output."""
    assert Run(8627.0, 1.72, 60.02, {"status": 3}, 8627) == parse(OUTPUT)


def test_wrk_sends_requests_like_nova() -> None:
    """The script for wrk has the method POST, Nova's headers, the token and every body."""
    text = script("gAAAA", [b'{"a": 1}', b'{"a": 2}'])
    assert 'wrk.method = "POST"' in text
    assert "wrk.headers[ [==[User-Agent]==] ] = [==[openstack-nova-vendordata]==]" in text
    assert "wrk.headers[ [==[X-Auth-Token]==] ] = [==[gAAAA]==]" in text
    assert '  [==[{"a": 1}]==],\n  [==[{"a": 2}]==],\n' in text


def test_each_body_is_for_another_instance() -> None:
    """The bodies of a benchmark differ only in the instance's id, so no two requests share a run."""
    found = [json.loads(body) for body in bodies(3)]
    assert 3 == len({each.pop("instance-id") for each in found})
    assert [found[0]] * 3 == found


def test_a_contender_is_compared_with_the_floor_of_the_same_round() -> None:
    """The ratio is the median of the rounds' ratios, so a slow round slows both sides of it."""
    found = {"floor": runs(1000, 100, 1000), "vendorsrv-cached": runs(500, 50, 300)}
    assert {"floor / floor": ("1", ""), "vendorsrv-cached / floor": ("0.5", "yes")} == figures(found)


def test_contenders_are_compared_with_the_floor_and_by_goals() -> None:
    """Each contender is compared with the floor, and each pair with a goal has its verdict."""
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
    """If a run of either contender has errors, the row shows them instead of a ratio."""
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
def test_a_row_has_the_goal_and_by_how_much_it_is_missed(columns: dict[str, str], goal: str, reached: str) -> None:
    """The columns of a figure have its goal, whether it is reached, and how far off it is."""
    assert {"goal": goal, "reached": reached} == columns


def test_rows_have_the_figures_and_the_verdict() -> None:
    """The row of five handlers has both latencies and the verdict; that of Keystone's calls has their number."""
    assert ("no, 54% above", "400.0 / 200.0") == tuple(
        five.row([200.0], [400.0])[name] for name in ("reached", "milliseconds")
    )
    assert "31" == str(single_flight.row("wsgi-gunicorn", (31, "100 x 200"))["calls"])


def test_the_explained_statement_reads_one_pin() -> None:
    """The explained statement selects by instance and handler, for PostgreSQL and for MariaDB."""
    assert "WHERE pins.instance_id = '" in reads.statement_for("postgresql://postgres@127.0.0.1/pins")
    assert "AND pins.handler = 'pinned'" in reads.statement_for("mysql+pymysql://root@127.0.0.1/pins")


def test_the_machine_is_described() -> None:
    """The description has the hardware, the versions, the commit, the date and the load."""
    require("gunicorn", "no gunicorn: make test installs it")
    found = machine.describe()
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
def test_stored_figures_are_shown_without_measuring(tmp_path: Path, option: str, shown: str) -> None:
    """--from prints stored figures in each format."""
    stored = tmp_path / "bench.json"
    stored.write_text(json.dumps(STORED))
    assert shown in CliRunner().invoke(main, [option, "--from", str(stored)]).output


def test_a_process_runs_on_one_core() -> None:
    """A process that is started within on_core may use one core; afterwards this process may use all again."""
    with on_core(0):
        done = subprocess.run(
            [sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"], check=True, capture_output=True
        )
    assert b"1\n" == done.stdout
    assert os.cpu_count() == len(os.sched_getaffinity(0))


def test_wrk_runs_against_a_contender(tmp_path: Path) -> None:
    """The floor answers wrk's requests for a second without an error."""
    require_program("wrk")
    with serving_bare(tmp_path, "floor") as url:
        run = drive(f"{url}/mail", "gAAAA", bodies(10), seconds=1, connections=4)
    assert (True, {}) == (run.rate > 100, run.errors)


def test_the_answers_of_a_contender_are_checked(tmp_path: Path) -> None:
    """A contender with a wrong answer is an error that names it."""
    with serving_bare(tmp_path, "fastapi") as url:
        Contender("fastapi", f"{url}/mail", os.getpid()).check("gAAAA")
        with pytest.raises(AssertionError, match="fastapi"):
            Contender("fastapi", f"{url}/elsewhere", os.getpid()).check("gAAAA")


def test_every_contender_is_documented() -> None:
    """docs/performance.md lists every contender with the description in the code."""
    table = {code(row[0]): row[1] for row in rows(section(page("performance"), "## The contenders"))}
    assert CONTENDERS == table


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_is_documented(name: str) -> None:
    """docs/performance.md lists every benchmark, and it, docs/scaling.md or docs/security.md has a table of them."""
    assert name in [code(row[0]) for row in rows(section(page("performance"), "## What is measured"))]
    assert any(f"\n### {name}\n" in prose(page(each)) for each in ("performance", "scaling", "security"))
