"""What ``/-/openapi.json`` says of the handlers: each with its docstring, Nova's body and every error."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Final

from vendorsrv.errors import all_errors
from vendorsrv.handlers.registry import EnabledHandler
from vendorsrv.request import NOVA_BODY

TOKEN_SCHEME: Final = "X-Auth-Token"

MEMBERS: Final = ["code", "title", "message", "request_id"]
ERROR: Final = {"type": "object", "required": MEMBERS, "properties": {name: {"type": "string"} for name in MEMBERS}}
ERROR_SCHEMA: Final = {"type": "object", "required": ["error"], "properties": {"error": ERROR}}


def add_handlers(schema: dict[str, Any], handlers: Iterable[EnabledHandler]) -> None:
    """Add the POST routes to an OpenAPI document; FastAPI does not know them, since they bypass its routing.

    :param schema: FastAPI's own document; changed in place.
    """
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update({"NovaBody": NOVA_BODY.json_schema(), "Error": ERROR_SCHEMA})
    components.setdefault("securitySchemes", {})[TOKEN_SCHEME] = {
        "type": "apiKey",
        "in": "header",
        "name": TOKEN_SCHEME,
        "description": "The token of Nova's [vendordata_dynamic_auth] account.",
    }
    paths = schema.setdefault("paths", {})
    paths["/"] = operation("ask_all", "All enabled handlers at once: {name: answer}")
    paths["/cloud-init"] = operation("ask_for_cloud_init", "What all handlers have for cloud-init, as one string")
    for each in handlers:
        ask = operation(f"ask_{each.name}", each.name, inspect.getdoc(each.handler) or "")
        if model := each.handler.answer:
            template = f"#/components/schemas/{each.name}.{{model}}"  # two handlers may have models of one name
            own = model.model_json_schema(ref_template=template, mode="serialization")
            for name, definition in own.pop("$defs", {}).items():
                components["schemas"][f"{each.name}.{name}"] = definition
            components["schemas"][each.name] = own
            good = {"description": "What the handler declares, or {} for nothing", "content": json_content(each.name)}
            ask["post"]["responses"]["200"] = good
        paths[f"/{each.name}"] = ask


def operation(identifier: str, summary: str, description: str = "") -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "Any JSON value", "content": {"application/json": {}}}}
    for each in sorted(all_errors(), key=lambda error: error.status):
        responses[str(each.status)] = {"description": each.title, "content": json_content("Error")}
    post = {
        "operationId": identifier,
        "summary": summary,
        "description": description,
        "tags": ["vendordata"],
        "security": [{TOKEN_SCHEME: []}],
        "requestBody": {"required": True, "content": json_content("NovaBody")},
        "responses": responses,
    }
    return {"post": post}


def json_content(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
