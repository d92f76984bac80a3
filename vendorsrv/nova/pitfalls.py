"""What a target's URL or its answer does to Nova's client, for ``vendorsrv call`` and the contract to report."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from vendorsrv.strictjson import StrictJSONError, parse

#: Nova sets no limit, and keeps several copies of every answer in memory.
MANY_BYTES: Final = 4 * 2**20
#: keystoneauth1 follows some of the redirects, and raises from 400 on.
REDIRECTS: Final = range(300, 400)
FOLLOWED: Final = frozenset({301, 302, 303, 305, 307, 308})
#: The answers that mean "nothing for this instance" to cloud-init.
NOTHING: Final[tuple[Any, ...]] = ({}, None, "")
EMPTY: Final = "Nova takes an empty answer for {} without logging it, even with vendordata_dynamic_failure_fatal on"


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of the call and the head of its response.

    :ivar location: the ``Location`` header, or None.
    """

    url: str
    status: int
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One call and its answer, as Nova sees them.

    :ivar name: the target's name in nova.conf.
    :ivar hops: every request of the call, in order: the first, those after redirects, and a second try after 401.
    :ivar with_token: whether a token was sent.
    :ivar elapsed: seconds for the whole call.
    :ivar read_timeout: seconds that Nova waits for each read.
    :ivar body: the answer's bytes, decompressed; empty without an answer.
    :ivar text: the body as Nova decodes it.
    :ivar value: what Nova stores under the name.
    """

    name: str
    url: str
    hops: Sequence[Hop]
    with_token: bool
    elapsed: float
    read_timeout: float
    body: bytes
    text: str
    value: Any


def find_pitfalls(seen: Observed, *, kept: bool) -> tuple[str, ...]:
    """Return the pitfalls of a call.

    :param kept: whether Nova keeps the value, so that its content matters.
    :returns: sentences without a full stop, which contain neither a token nor anything of the value.
    """
    # The last redirect of a kept answer was not followed: it has no Location, or there were too many.
    followed = seen.hops[:-1] if kept else seen.hops
    found = [*name_pitfalls(seen), *redirect_pitfalls(followed, with_token=seen.with_token)]
    if seen.with_token and any(hop.status == 401 for hop in seen.hops):
        found.append("after a 401 Nova gets a new token from Keystone and posts again")
    if kept:
        found += [*body_pitfalls(seen), *value_pitfalls(seen)]
    return tuple(dict.fromkeys(found))


def name_pitfalls(seen: Observed) -> Iterator[str]:
    if seen.name == "static":
        yield "Nova drops a target named static: vendordata_providers must include StaticJSON, which has that name"
    if "," in seen.url:
        yield "Nova splits vendordata_dynamic_targets at every comma, and this URL contains one"


def redirect_pitfalls(followed: Sequence[Hop], *, with_token: bool) -> Iterator[str]:
    """Describe redirects, which keystoneauth1 follows as a whole POST (``Session._send_request``)."""
    sent = "the instance's data and the token" if with_token else "the instance's data"
    for hop in followed:
        if hop.status in FOLLOWED and hop.location:
            (scheme, server), (new_scheme, new_server) = origin(hop.url), origin(hop.location)
            sentence = f"Nova follows a {hop.status} as a POST with {sent}"
            if not new_server:
                sentence = f"Nova cannot follow a {hop.status} whose Location is not an absolute URL"
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


def body_pitfalls(seen: Observed) -> Iterator[str]:
    status = seen.hops[-1].status
    if not seen.text:
        yield EMPTY
    elif status in REDIRECTS:
        yield f"a {status} is not an error to Nova, which takes its body for the answer"
    yield from encoding_pitfalls(seen.body, seen.text)
    if seen.elapsed > seen.read_timeout:
        yield (
            f"{seen.elapsed:.1f} s in total: Nova's read timeout of {seen.read_timeout:g} s is for each read, "
            "so the boot waited that long"
        )
    if len(seen.body) > MANY_BYTES:
        yield f"{len(seen.body) / 2**20:.0f} MiB: Nova sets no limit, and needs several times that in memory"


def encoding_pitfalls(body: bytes, text: str) -> Iterator[str]:
    try:
        meant = body.decode("utf-8")
    except UnicodeDecodeError:
        if "\ufffd" in text:
            yield "the body is not UTF-8: Nova replaces what it cannot decode with U+FFFD"
    else:
        if meant != text:
            yield "the body is UTF-8, but Nova decodes it differently: send Content-Type application/json"


def value_pitfalls(seen: Observed) -> Iterator[str]:
    try:
        json.dumps(seen.value, allow_nan=False)
        parse((seen.text or "{}").encode("utf-8", "replace"))
    except StrictJSONError as error:
        yield f"the answer {error}: Nova accepts it, other parsers may not"
    except RecursionError:  # one or two levels below the limit of Nova's own parser
        yield "the answer is nested as deeply as Nova can parse: other parsers may fail"
    except ValueError:
        yield "Nova passes NaN or Infinity on: the instance's whole vendor_data2.json is then invalid JSON"
    if seen.name == "cloud-init" and isinstance(seen.value, list):
        yield "cloud-init does not accept a list: newer versions crash, and the user's own user-data is lost"
    elif seen.name == "cloud-init" and not isinstance(seen.value, str) and seen.value not in NOTHING:
        yield "cloud-init ignores a value that is not a string"


def is_finite(value: Any) -> bool:
    """Whether no number of a value is NaN or Infinity, which are not JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
