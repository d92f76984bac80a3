"""The handlers' public routes: methods, caching, and their place at the root."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from tests.support.fake_keystone import FakeKeystone
from tests.support.serving import running, write_config
from vendorsrv import ConfigError, Handler, VendordataRequest
from vendorsrv.testing import serve

DISCOVERY = ".well-known/openid-configuration"
HANDLER = """
from vendorsrv import Handler

class Keys(Handler):
    routes = {".well-known/openid-configuration": "discovery", "jwks.json": "jwks"}
    max_age = 300.5

    def handle(self, request):
        return None

    async def discovery(self):
        return {"jwks_uri": "https://vendordata/keys/jwks.json"}

    def jwks(self):
        return {"keys": []}
"""


class Identity(Handler):
    """Serve a document at a well-known path."""

    routes: ClassVar = {DISCOVERY: "discovery", "keys": "discovery"}

    def handle(self, request: VendordataRequest) -> Any:
        """Return nothing."""

    def discovery(self) -> dict[str, str]:
        """Return who issues tokens."""
        return {"issuer": "https://vendordata"}


class Other(Identity):
    """Serve another one at the same path."""


def test_public_routes_answer_head_and_may_be_cached(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, HEAD has the headers of GET and no body; both have the max-age, below the handler and at the root."""
    (tmp_path / "identity_keys.py").write_text(HANDLER)
    monkeypatch.syspath_prepend(tmp_path)
    body = b'{"jwks_uri":"https://vendordata/keys/jwks.json"}'
    with FakeKeystone() as keystone, running(write_config(tmp_path, keystone, handlers="identity_keys:Keys")) as server:
        for path in (f"/{DISCOVERY}", f"/keys/{DISCOVERY}"):
            got, head = server.client.get(path), server.client.head(path)
            assert (200, body, 200, b"") == (got.status_code, got.content, head.status_code, head.content)
            for header, value in {"cache-control": "public, max-age=300", "content-length": str(len(body))}.items():
                assert [value, value] == [got.headers[header], head.headers[header]]
        assert {"GET", "HEAD"} >= {*server.client.post(f"/{DISCOVERY}").headers["allow"].split(", ")}


def test_only_well_known_paths_are_at_the_root() -> None:
    """Another route has its handler's path only, and no header for caches unless the class has a max_age."""
    with serve(Identity) as server:
        assert [200, 405] == [server.get(path).status for path in ("/identity/keys", "/keys")]
        assert "cache-control" not in server.get(f"/{DISCOVERY}").headers
        metrics = server.get("/-/metrics", admin=True).body.decode()
        paths = server.get("/-/openapi.json", admin=True).json["paths"]
    assert f'requests_total{{code="",path="/{DISCOVERY}",status="200"}} 1.0' in metrics
    assert {f"/{DISCOVERY}", f"/identity/{DISCOVERY}", "/identity/keys"} <= paths.keys()


def test_operations_have_ids_of_their_own() -> None:
    """OpenAPI's ids are unique though a route is there twice."""
    with serve(Identity) as server:
        paths = server.get("/-/openapi.json", admin=True).json["paths"]
    ids = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert sorted(set(ids)) == sorted(ids)


def test_two_handlers_cannot_have_the_same_place_at_the_root() -> None:
    """Two handlers with one well-known path stop the start, by name."""
    clash = f"handlers identity and other both serve /{DISCOVERY}; only one of them can be enabled"
    with pytest.raises(ConfigError, match=clash), serve(Identity, Other):
        pass
