"""The model of a handler's answer: what leaves fits it, and whoever reads the answer can see it."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import BaseModel, Field

from vendorsrv import CloudConfig, Handler, NotYet, VendordataRequest
from vendorsrv.cli.main import main
from vendorsrv.testing import FakeUpstream, Reply, serve


class Host(BaseModel):
    """A host."""

    name: str


class Site(BaseModel):
    """A site with its hosts."""

    opened: date = Field(alias="opened-at")
    hosts: list[Host] = []
    extra: Any = None


class Sited(Handler):
    """Return what a test sets."""

    answer = Site
    returned: Any = None

    async def handle(self, request: VendordataRequest) -> Any:
        """Return it."""
        if isinstance(self.returned, Exception):
            raise self.returned
        return self.returned

    async def cloud_init(self, request: VendordataRequest) -> CloudConfig:
        """Return something else."""
        return CloudConfig({"timezone": "UTC"})


class Unmodelled(Handler):
    """Declare nothing."""

    def handle(self, request: VendordataRequest) -> str:
        """Return something."""
        return "a"


def new(returned: Any) -> type[Sited]:
    """Return the handler that returns this."""
    return type("Sited", (Sited,), {"returned": returned})


@pytest.mark.parametrize(
    ("returned", "body"),
    [
        (Site.model_validate({"opened-at": date(2026, 3, 1)}), b'{"opened-at":"2026-03-01","hosts":[],"extra":null}'),
        (
            {"opened-at": "2026-03-01", "hosts": [{"name": "a", "rack": "b7"}], "other": 1},
            b'{"opened-at":"2026-03-01","hosts":[{"name":"a"}],"extra":null}',
        ),
        (
            NotYet(Site.model_validate({"opened-at": date(2026, 3, 1)})),
            b'{"opened-at":"2026-03-01","hosts":[],"extra":null}',
        ),
        (NotYet(), b"{}"),
        (None, b"{}"),
        ({}, b"{}"),
    ],
)
def test_an_answer_that_fits_is_written_as_its_model_says(returned: Any, body: bytes) -> None:
    """An object of the model, or its members, becomes the model's JSON; nothing stays nothing."""
    with serve(new(returned)) as server:
        assert (200, body) == ((answer := server.ask("sited")).status, answer.body)


WRONG = "the answer of handler sited does not fit its model: "


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"hosts": []}, f"{WRONG}opened-at is wrong (missing)"),
        ({"opened-at": "2026-03-01", "hosts": [{"name": 5}]}, f"{WRONG}hosts.0.name is wrong (string_type)"),
        ("planted", f"{WRONG}all of it is wrong (model_type)"),
        (NotYet(["planted"]), f"{WRONG}all of it is wrong (model_type)"),
        (
            {"opened-at": "2026-03-01", "extra": object()},
            "the answer of handler sited has a value that is not JSON",
        ),
    ],
)
def test_an_answer_that_does_not_fit_does_not_leave(
    returned: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is 500 bad_answer with the place and the error's name; its values are neither sent nor logged."""
    with serve(new(returned)) as server:
        answer = server.ask("sited")
    assert (500, "bad_answer", message) == (answer.status, answer.code, answer.message)
    assert "planted" not in caplog.text


def test_cloud_init_has_no_model() -> None:
    """The model is that of handle."""
    with serve(new(None)) as server:
        assert 200 == server.ask("cloud-init").status


def test_a_proxy_s_answer_is_checked_too() -> None:
    """A subclass of Proxy may have a model: what fits is returned as it came, and anything else is an error."""
    sections = {"vendorsrv": {"handlers": "tests.support.handlers.modelled:HostOfRack"}}
    with FakeUpstream() as upstream:
        sections["handler:host-of-rack"] = {"url": upstream.url}
        with serve(sections=sections) as server:
            upstream.reply = Reply(b'{"name": "a",  "rack": "b7"}')
            assert b'{"name": "a",  "rack": "b7"}' == server.ask("host-of-rack").body
            upstream.reply = Reply(b'{"name": 5}')
            assert "bad_answer" == server.ask("host-of-rack").code


def test_openapi_has_the_models() -> None:
    """The document has each handler's model under the handler's name, and what it consists of."""
    with serve(new(None), Unmodelled) as server:
        document = server.get("/-/openapi.json", admin=True).json
    good = {name: document["paths"][f"/{name}"]["post"]["responses"]["200"] for name in ("sited", "unmodelled")}
    assert {"$ref": "#/components/schemas/sited"} == good["sited"]["content"]["application/json"]["schema"]
    assert "Any JSON value" == good["unmodelled"]["description"]
    schemas = document["components"]["schemas"]
    assert "date" == schemas["sited"]["properties"]["opened-at"]["format"]
    assert {"$ref": "#/components/schemas/sited.Host"} == schemas["sited"]["properties"]["hosts"]["items"]
    assert ["name"] == schemas["sited.Host"]["required"]


def schema(handler: str) -> Any:
    """Call vendorsrv schema."""
    return CliRunner().invoke(main, ["schema", handler])


def test_schema_prints_the_json_schema() -> None:
    """Vendorsrv schema prints a schema that stands alone."""
    found = json.loads(schema(f"{__name__}:Sited").stdout)
    assert "https://json-schema.org/draft/2020-12/schema" == found["$schema"]
    assert {"$ref": "#/$defs/Host"} == found["properties"]["hosts"]["items"]
    assert ["name"] == found["$defs"]["Host"]["required"]


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (
            f"{__name__}:Unmodelled",
            "handler unmodelled declares no answer: class Unmodelled needs answer = a model",
        ),
        ("nobody:Sited", "handler nobody:Sited: import of nobody raised ModuleNotFoundError"),
    ],
)
def test_schema_says_what_is_missing(handler: str, message: str) -> None:
    """Vendorsrv schema of a handler without a model, or that cannot be loaded, is an error."""
    result = schema(handler)
    assert 1 == result.exit_code
    assert message in result.stderr
