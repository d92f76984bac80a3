"""What strangers without a token can cost Nova: requests, time and the server's memory, for each attack."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.effort import EFFORT, QUICK
from bench.strangers_attacks import ATTACKS, BY_TLS, ON_ADMIN
from bench.strangers_nova import NEW_TOKEN_EVERY, NOVA_TIMEOUT, Calls, Nova
from bench.strangers_servers import Target, serving
from tests.support.keystone import NOVA, Keystone
from tests.support.processes import ROOT
from tests.support.waiting import wait_until

Row = dict[str, object]
#: The source addresses of strangers.
SOURCES: Final = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
#: What a server may keep of what strangers made it allocate: the buffers of a thousand TLS connections are some 90 MB,
#: and the allocator keeps them for the next ones.
KEPT: Final = 128 * 2**20
#: Seconds in which it has to give back the rest.
RECOVERY: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack cost Nova.

    :ivar memory: the workers' resident bytes before, at most during, and after the attack.
    :ivar found: what each stranger counted: bytes, connections, statuses of answers, ends of connections.
    """

    strangers: int
    calls: dict[str, Calls]
    memory: tuple[int, int, int]
    found: Sequence[Counter[str]]

    @property
    def lost(self) -> list[str]:
        """Why each lost request was lost."""
        return [reason for each in self.calls.values() for reason in each.lost]

    def row(self) -> Row:
        """Return the figures, by their headings."""
        return {
            "strangers": self.strangers,
            **{f"{name}, ms": str(each) for name, each in self.calls.items()},
            "lost": f"{len(self.lost)} of {sum(each.sent for each in self.calls.values())}",
            "memory, MB": " / ".join(f"{each / 1e6:.0f}" for each in self.memory),
            "reached": self.verdict(),
        }

    def verdict(self) -> str:
        """Return whether no request was lost, none took longer than Nova waits, and the memory was given back."""
        missed = [f"{count} {reason}" for reason, count in sorted(Counter(self.lost).items())]
        if any(each.seconds and each.longest > NOVA_TIMEOUT for each in self.calls.values()):
            missed.append("past Nova's 5 s")
        if self.memory[2] > self.memory[0] + KEPT:
            missed.append("memory kept")
        return f"no: {', '.join(missed)}" if missed else "yes"


def report() -> list[Row]:
    """Measure every attack, with one and four strangers, directly and through HAProxy; ``--quick`` one directly."""
    if EFFORT.get() == QUICK:
        return measure([(attack, "direct") for attack in ATTACKS if attack not in BY_TLS], [1])
    ways = [(attack, way) for way in ("direct", "HAProxy") for attack in ATTACKS]
    return measure([(attack, f"{way}, TLS" if attack in BY_TLS else way) for attack, way in ways], [1, len(SOURCES)])


def measure(attacks: Sequence[tuple[str, str]], strangers: Sequence[int]) -> list[Row]:
    """Measure attacks, each on its way, with these numbers of strangers; each has a new server."""
    seconds = 2.0 * EFFORT.get().seconds
    rows: list[Row] = []
    with (
        TemporaryDirectory(prefix="vendorsrv-strangers-") as folder,
        Keystone(log_file=Path(folder) / "keystone.log") as keystone,
    ):
        keystone.create_accounts()
        for (attack, way), count in product(attacks, strangers):
            with serving(Path(folder) / f"{len(rows)}", keystone, way) as target:
                tokens = [keystone.token(NOVA) for _ in range(2 + int(seconds / NEW_TOKEN_EVERY))]
                outcome = attacked(target, attack, count, seconds, tokens)
            rows.append({"attack": attack, "way": way, **outcome.row()})
    return rows


def attacked(
    target: Target,
    attack: str,
    strangers: int,
    seconds: float,
    tokens: Sequence[str],
    *,
    patience: float = NOVA_TIMEOUT,
) -> Outcome:
    """Let strangers attack, and return what became of Nova's requests.

    :param tokens: valid ones; the first is the known one.
    :param patience: seconds that Nova waits.
    """
    nova = Nova(target.url, tokens[0], target.trusts, patience)
    with nova.asking([]):
        pass  # the server knows the token now
    before = target.memory()
    with nova.asking(tokens[1:]) as calls:
        most, found = let_attack(target, SOURCES[:strangers], attack, seconds)
    return Outcome(strangers, calls, (before, most, memory_given_back(target, before)), found)


def let_attack(target: Target, sources: Sequence[str], attack: str, seconds: float) -> tuple[int, list[Counter[str]]]:
    """Run strangers until they end; return the most memory meanwhile, and what each of them found."""
    strangers = [
        subprocess.Popen(
            command(target, source, attack, seconds),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        for source in sources
    ]
    most = 0
    while any(each.poll() is None for each in strangers):
        most = max(most, target.memory())
        time.sleep(0.1)
    return most, [Counter(json.loads(each.communicate()[0])) for each in strangers]


def command(target: Target, source: str, attack: str, seconds: float) -> list[str]:
    """Return the command of a stranger."""
    port = target.admin_port if attack in ON_ADMIN else target.port
    words = [attack, target.host, str(port), source, str(seconds), *(["tls"] if target.trust else [])]
    return [sys.executable, "-m", "bench.strangers_attacks", *words]


def memory_given_back(target: Target, before: int) -> int:
    """Return the memory as soon as it is as before, or when the time for that is over."""
    with suppress(AssertionError):
        wait_until(lambda: target.memory() <= before + KEPT, RECOVERY)
    return target.memory()
