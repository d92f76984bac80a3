"""What an answer that Nova takes still does to somebody who did not expect it: one sentence for each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from vendorsrv.strictjson import StrictJSONError, parse

#: Nova has no limit, and keeps every answer in memory several times over.
MANY_BYTES: Final = 4 * 2**20
REDIRECTS: Final = frozenset({301, 302, 303, 305, 307, 308})
# keystoneauth1 raises from 400 on.
NO_ERROR: Final = range(300, 400)
# What cloud-init takes for "nothing for this instance".
NOTHING: Final[tuple[Any, ...]] = ({}, None, "")
EMPTY: Final = "an empty answer is {} to Nova, silently, with vendordata_dynamic_failure_fatal on too"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request of the call and the head of its response.

    :ivar location: the ``Location`` header, or None.
    """

    url: str
    status: int
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of one call that Nova makes something of.

    :ivar name: the target's name in nova.conf.
    :ivar url: the target's URL.
    :ivar exchanges: every request that was sent for it, in order.
    :ivar with_token: whether a token was sent.
    :ivar elapsed: seconds for all of it.
    :ivar read_timeout: seconds that Nova waits for each read.
    :ivar body: the answer's bytes, decompressed; empty when there is none.
    :ivar text: what Nova reads these bytes as.
    :ivar value: what Nova puts under the name.
    """

    name: str
    url: str
    exchanges: Sequence[Exchange]
    with_token: bool
    elapsed: float
    read_timeout: float
    body: bytes
    text: str
    value: Any


def find_traps(seen: Observed, *, kept: bool) -> tuple[str, ...]:
    """Name the traps that a call fell into.

    :param kept: Nova keeps the value, so what is in it matters.
    :returns: sentences without a full stop, without a token and without anything of the value.
    """
    # The last redirect of a kept answer was not followed: there was no Location, or it was one too many.
    followed = seen.exchanges[:-1] if kept else seen.exchanges
    found = [*of_the_name(seen), *of_redirects(followed, with_token=seen.with_token)]
    if seen.with_token and any(exchange.status == 401 for exchange in seen.exchanges):
        found.append("after a 401 Nova asks Keystone for a new token, and posts once more")
    if kept:
        found += [*of_the_body(seen), *of_the_value(seen)]
    return tuple(dict.fromkeys(found))


def of_the_name(seen: Observed) -> Iterator[str]:
    if seen.name == "static":
        yield "Nova drops a target named static as soon as vendordata_providers has StaticJSON, as it must"
    if "," in seen.url:
        yield "nova.conf splits vendordata_dynamic_targets at every comma, and this URL has one"


def of_redirects(followed: Sequence[Exchange], *, with_token: bool) -> Iterator[str]:
    """Describe redirects, which keystoneauth1 follows as a whole POST (``Session._send_request``)."""
    sent = "the instance's data and the token" if with_token else "the instance's data"
    for exchange in followed:
        if exchange.status in REDIRECTS and exchange.location:
            (scheme, server), (new_scheme, new_server) = origin(exchange.url), origin(exchange.location)
            sentence = f"Nova follows a {exchange.status} as a POST with {sent}"
            if not new_server:
                sentence = f"Nova cannot follow a {exchange.status} whose Location is no whole URL"
            elif new_server != server:
                sentence += ", here to another server"
            if (scheme, new_scheme) == ("http", "https"):
                sentence += "; from http to https without checking the certificate"
            yield sentence


def origin(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.rpartition("@")[2]


def of_the_body(seen: Observed) -> Iterator[str]:
    status = seen.exchanges[-1].status
    if not seen.text:
        yield EMPTY
    elif status in NO_ERROR:
        yield f"a {status} is no error to Nova: its body is taken for the answer"
    yield from of_the_encoding(seen)
    if seen.elapsed > seen.read_timeout:
        yield (
            f"{seen.elapsed:.1f} s in all: the read timeout of {seen.read_timeout:g} s is for each read, "
            "so Nova waited, and the boot with it"
        )
    if len(seen.body) > MANY_BYTES:
        yield f"{len(seen.body) / 2**20:.0f} MiB: Nova has no limit, and needs several times that in memory"


def of_the_encoding(seen: Observed) -> Iterator[str]:
    try:
        meant = seen.body.decode("utf-8")
    except UnicodeDecodeError:
        if "\ufffd" in seen.text:
            yield "the body is not UTF-8: Nova puts U+FFFD in the place of what it cannot read"
    else:
        if meant != seen.text:
            yield "the body is UTF-8, and Nova reads it as something else: send application/json"


def of_the_value(seen: Observed) -> Iterator[str]:
    try:
        json.dumps(seen.value, allow_nan=False)
        parse((seen.text or "{}").encode("utf-8", "replace"))
    except StrictJSONError as error:
        yield f"the answer {error}: Nova takes it, others on its way may not"
    except RecursionError:  # a level or two less than where Nova's own parser gives up
        yield "the answer is nested as deep as Nova can read it: others on its way may not"
    except ValueError:
        yield "NaN or Infinity is passed on: the instance's whole vendor_data2.json is no valid JSON then"
    if seen.name == "cloud-init" and isinstance(seen.value, list):
        yield "cloud-init takes no list: newer ones crash on it, and the user's own user-data is lost"
    elif seen.name == "cloud-init" and not isinstance(seen.value, str) and seen.value not in NOTHING:
        yield "cloud-init ignores a value that is no string"
