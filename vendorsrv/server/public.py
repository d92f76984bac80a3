"""The handlers' public routes: GET and HEAD without a token."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.responses import Response

from vendorsrv.answer import to_bytes
from vendorsrv.declarations import WELL_KNOWN
from vendorsrv.handlers.registry import EnabledHandler
from vendorsrv.handlers.runner import Runner


def public_paths(enabled: EnabledHandler) -> Iterator[tuple[str, Runner]]:
    """Yield the path of each public route and its runner; well-known ones are at the root, too (RFC 8615, 3)."""
    for path, runner in enabled.routes.items():
        yield f"/{enabled.name}/{path}", runner
        if path.startswith(WELL_KNOWN):
            yield f"/{path}", runner


def add_public_routes(server: FastAPI, enabled: EnabledHandler, max_answer_bytes: int) -> None:
    """Add the public routes of a handler to the application of the address that Nova calls."""
    for path, runner in public_paths(enabled):
        add_route(server, enabled, path, runner, max_answer_bytes)


def add_route(server: FastAPI, enabled: EnabledHandler, path: str, runner: Runner, max_answer_bytes: int) -> None:
    seconds = int(enabled.handler.max_age)
    headers = {"cache-control": f"public, max-age={seconds}"} if seconds else None

    async def answer() -> Response:
        value = await runner.run(budget=runner.timeout)
        return Response(to_bytes(value, enabled.name, max_answer_bytes), headers=headers, media_type="application/json")

    server.add_api_route(
        path,
        answer,
        tags=["public"],
        summary=f"{path.removeprefix(f'/{enabled.name}/')} of {enabled.name}",
        description=runner.method.__doc__ or "",
        operation_id=f"{enabled.name}_{path.removeprefix(f'/{enabled.name}/')}",
    )
    server.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
