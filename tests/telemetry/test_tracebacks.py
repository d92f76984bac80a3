"""What the log shows of an exception: the vendor's own line, and no secret of a URL."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from vendorsrv.telemetry.logs import HideSecrets
from vendorsrv.telemetry.tracebacks import raised_at, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no answer of http://h.example.org:80/x", "no answer of http://h.example.org:80/x"),
        ("postgresql://me:planted@db/pins", "postgresql://***@db/pins"),
        ("redis://:planted@db:6379", "redis://***@db:6379"),
        ("https://planted@h/x failed, and https://h/y did", "https://***@h/x failed, and https://h/y did"),
        ("GET https://h/x?key=planted&more=planted failed", "GET https://h/x?*** failed"),
        ("exceeded with url: /x?key=planted (Caused by …)", "exceeded with url: /x?*** (Caused by …)"),
        ("'https://h/?key=planted'", "'https://h/?***'"),
        ("what is this?", "what is this?"),
        (OSError("http://a:planted@h"), "http://***@h"),
        ("my word is secret-word", "my word is ***"),
    ],
)  # fmt: skip
def test_no_secret_of_a_url_is_shown(text: object, shown: str) -> None:
    """A URL's user, password and query are taken out, and so are values that are known to be secret."""
    assert shown == without_secrets(text, ["secret-word", None, ""])


def test_the_innermost_frame_of_the_vendor_is_shown() -> None:
    """Below five frames of a library the vendor's own innermost frame is shown all the same."""

    class Library(json.JSONEncoder):
        """Raise in the frames of json."""

    endless: list[Any] = []
    for _ in range(8):
        endless = [endless]
    endless[0][0][0].append(endless)
    with pytest.raises(ValueError, match="Circular") as caught:
        json.dumps(endless, indent=1, cls=Library)
    shown = raised_at(caught.value, __name__).split(" < ")
    assert (5, f"{Path(__file__)}:") == (len(shown), shown[-1][: len(f"{Path(__file__)}:")])
    assert all("json" in each for each in shown[:4])
    assert all("json" in each for each in raised_at(caught.value).split(" < "))


def test_a_client_s_records_have_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """The line that httpx logs for a request has neither password nor query."""
    logger = logging.getLogger("tests.client")
    logger.addFilter(HideSecrets())
    with caplog.at_level(logging.INFO, "tests.client"):
        logger.info("HTTP Request: %s %s %d", "GET", "https://me:planted@h/x?key=planted", 200)
        logger.info("no arguments")
    assert ["HTTP Request: GET https://***@h/x?*** 200", "no arguments"] == caplog.messages
