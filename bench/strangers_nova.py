"""Nova's requests while strangers attack: how long each takes, and which are lost."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from typing import Final

import requests

from tests.support.peers.server import BODY, JSON

#: Seconds after which Nova gives up (``[vendordata_dynamic_auth] timeout`` is 5).
NOVA_TIMEOUT: Final = 5.0
#: Seconds between an answer and the next request with a new token.
NEW_TOKEN_EVERY: Final = 0.3


@dataclass
class Calls:
    """What became of the calls of one kind.

    :ivar seconds: that each answered one took.
    :ivar lost: why each of the others failed: its status, or the error's name.
    """

    seconds: list[float] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """How many were sent."""
        return len(self.seconds) + len(self.lost)

    @property
    def longest(self) -> float:
        """The seconds that the longest took; none answered is infinite."""
        return max(self.seconds, default=math.inf)

    def __str__(self) -> str:
        if not self.seconds:
            return "none"
        return f"{1000 * statistics.median(self.seconds):,.0f} / {1000 * self.longest:,.0f}"


@dataclass(frozen=True, slots=True)
class Nova:
    """One nova-compute that asks a server.

    :ivar url: of the handler.
    :ivar token: that the server knows.
    :ivar trust: the file of the authority that signed the server's certificate; True for the system's.
    :ivar timeout: seconds that Nova waits for a connection, and for an answer.
    """

    url: str
    token: str
    trust: str | bool = True
    timeout: float = NOVA_TIMEOUT

    @contextmanager
    def asking(self, new_tokens: Iterable[str]) -> Iterator[dict[str, Calls]]:
        """Ask until the end of the block, in three ways at once; the calls are complete after the block."""
        over = threading.Event()
        calls = {"known token": Calls(), "new connection": Calls(), "new token": Calls()}
        with ThreadPoolExecutor(3) as pool:
            kept = pool.submit(self.ask_again, calls["known token"], repeat(self.token), over, 0.05)
            fresh = pool.submit(self.ask_again, calls["new connection"], repeat(self.token), over, 0.1, kept=False)
            others: Future[None] = pool.submit(
                self.ask_again, calls["new token"], new_tokens, over, NEW_TOKEN_EVERY, kept=False
            )
            try:
                yield calls
            finally:
                over.set()
        for future in (kept, fresh, others):
            future.result()

    def ask_again(
        self, calls: Calls, tokens: Iterable[str], over: threading.Event, pause: float, *, kept: bool = True
    ) -> None:
        """Ask with one token after the other, on one connection if they are ``kept``."""
        session = requests.Session()
        for token in tokens:
            started = time.monotonic()
            outcome = self.ask(session, token)
            if outcome == "200":
                calls.seconds.append(time.monotonic() - started)
            else:
                calls.lost.append(outcome)
            if not kept:
                session.close()
            if over.wait(pause):
                break
        session.close()

    def ask(self, session: requests.Session, token: str) -> str:
        """Ask once, and return the status or the error's name."""
        session.trust_env = False
        try:
            answer = session.post(
                self.url, BODY, headers={**JSON, "X-Auth-Token": token}, timeout=self.timeout, verify=self.trust
            )
        except requests.RequestException as error:
            return type(error).__name__
        return str(answer.status_code)
