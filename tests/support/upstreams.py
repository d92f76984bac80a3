"""A server of ours with proxies, and the vendordata server to put behind them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.fake_keystone import FakeKeystone
from tests.support.fixtures import Clock
from tests.support.serving import Server, running, section, write_config
from vendorsrv.testing.upstream import FakeUpstream


class Other(FakeUpstream):
    """Another vendordata server; its URL has a path and a query."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context, "/rack?site=ams1")


class Endpoint(NamedTuple):
    """A server with proxies, and what it takes to ask it.

    :ivar token: Nova's.
    """

    server: Server
    keystone: FakeKeystone
    token: str

    def ask(self, path: str = "/rack", **keywords: Any) -> Any:
        """Post as Nova does."""
        return self.server.ask(path, self.token, **keywords)

    def outcome(self, path: str = "/rack", **keywords: Any) -> tuple[int, Any]:
        """Return the status, and the answer or the message."""
        response = self.ask(path, **keywords)
        body = response.json()
        return response.status_code, body if response.status_code == 200 else body["error"]["message"]


def proxy(name: str = "rack", /, **options: object) -> str:
    """Return the text of a proxy's section; a list of URLs becomes a line for each."""
    urls = options.pop("url")
    lines = [f"url = {url}\n" for url in (urls if isinstance(urls, list) else [urls])]
    return section(f"proxy:{name}", options) + "".join(lines)


@contextmanager
def proxying(
    directory: Path, *sections: str, clock: Clock | None = None, handlers: str = "", **options: Any
) -> Iterator[Endpoint]:
    """Serve some proxies, and no handlers unless they are named."""
    with FakeKeystone() as keystone:
        config = write_config(directory, keystone, handlers=handlers, sections="\n".join(sections), **options)
        with running(config, **({"clock": clock} if clock else {})) as server:
            yield Endpoint(server, keystone, keystone.issue("service"))
