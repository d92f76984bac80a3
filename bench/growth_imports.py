"""How long the package, the command's help and a server take to import."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from collections import Counter
from typing import Final

from tests.support.processes import ROOT

#: The statements that are timed, by their names in the report.
STATEMENTS: Final = {
    "import vendorsrv": "import vendorsrv",
    "vendorsrv --help": "import sys; sys.argv[1:] = ['--help']; from vendorsrv.cli.main import main; main()",
    "vendorsrv serve, before its workers are forked": "import gc; gc.disable(); "
    "import vendorsrv.server.serve, vendorsrv.server.app",
    "the same for handlers that pin": "import gc; gc.disable(); import vendorsrv.server.app, vendorsrv.pins.service",
}
LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")
#: How many packages the report names, slowest first.
TOP: Final = 8


def milliseconds(statement: str) -> Counter[str]:
    """Run a statement in a new interpreter; return each package's own import time, without that of other packages."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], cwd=ROOT, check=True, capture_output=True, text=True
    )
    taken: Counter[str] = Counter()
    for micro, module in LINE.findall(done.stderr):
        taken[module.partition(".")[0]] += int(micro)
    return taken


def report(rounds: int) -> list[dict[str, object]]:
    """Return a row for each statement: the total time, and the slowest packages."""
    rows: list[dict[str, object]] = []
    for what, statement in STATEMENTS.items():
        found = [milliseconds(statement) for _ in range(rounds)]
        median = {name: statistics.median(each[name] for each in found) / 1000 for name in found[0]}
        third_party = {name: value for name, value in median.items() if name not in sys.stdlib_module_names}
        slowest = sorted(third_party.items(), key=lambda each: -each[1])[:TOP]
        rows.append(
            {
                "what": f"imports: {what}",
                "value": round(sum(median.values())),
                "unit": "ms",
                "more": {name: f"{value:.0f} ms" for name, value in slowest},
            }
        )
    return rows
