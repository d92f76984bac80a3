"""A vendorsrv handler that enrols each instance in a directory once, and returns its one-time password."""

from __future__ import annotations

import logging
from typing import Any

import httpx
from oslo_config import cfg

from vendorsrv import Handler, OnError, UpstreamError, VendordataRequest

__all__ = ["Enrolment"]

LOG = logging.getLogger(__name__)


class Enrolment(Handler):
    """Give an instance the one-time password with which it enrols itself in the directory.

    Its settings are in ``[handler:enrolment]``. The directory is that of :mod:`vendorsrv_enrolment.directory`.
    """

    pin = True  # Nova sends six requests for one config drive; only the first answer's password works
    on_error = OnError.FAIL  # an instance that cannot enrol is useless
    options = (
        cfg.URIOpt("url", required=True, schemes=["http", "https"], help="The URL of the directory."),
        cfg.StrOpt(
            "token", required=True, secret=True, help="The token that authenticates this server to the directory."
        ),
        cfg.HostnameOpt("domain", required=True, help="The domain that the hosts are enrolled in."),
        cfg.FloatOpt(
            "directory_timeout",
            default=1.5,
            min=0.1,
            help="Seconds for one call to the directory; a run makes up to two.",
        ),
    )

    async def open(self) -> None:
        """Create the client that all requests of this worker share."""
        self.directory = httpx.AsyncClient(
            base_url=self.settings.url,
            headers={"Authorization": f"Bearer {self.settings.token}"},
            timeout=self.settings.directory_timeout,
            trust_env=False,  # a proxy from the environment would see the passwords
        )

    async def close(self) -> None:
        """Close the client's connections."""
        await self.directory.aclose()

    async def handle(self, request: VendordataRequest) -> dict[str, str]:
        """Enrol the instance, or replace the password of an earlier run that was lost."""
        # Not the hostname: the tenant chose it, and could choose another host's.
        host = f"{request.instance_id}.{self.settings.domain}"
        status, said = await self.ask("POST", "/hosts", {"name": host})
        if status == 409:
            status, said = await self.renew(host, said)
        if status not in {200, 201} or not isinstance(said.get("otp"), str):
            LOG.warning("the directory answered %d, and no password", status)
            raise UpstreamError("the directory gave no one-time password")
        return {"host": host, "otp": said["otp"]}

    async def renew(self, host: str, known: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Replace the password of a host that an earlier run added, whose answer was lost.

        The directory replaces only the revision that it reported. So a run that overran its deadline, and whose request
        arrives late, cannot void the password that another run got and pinned in the meantime.
        """
        if known.get("enrolled"):
            raise UpstreamError("the host is enrolled in the directory already")
        return await self.ask("PUT", f"/hosts/{host}/otp", {"revision": known.get("revision")})

    async def ask(self, method: str, path: str, what: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Call the directory, and return its status and its JSON object, which is empty if it sent none.

        :raises UpstreamError: it cannot be reached, or is too slow.
        """
        try:
            response = await self.directory.request(method, path, json=what)
        except httpx.RequestError as error:
            LOG.warning("the directory does not answer (%s)", type(error).__name__)
            raise UpstreamError("the directory does not answer") from None
        try:
            said = response.json()
        except ValueError:
            said = None
        return response.status_code, said if isinstance(said, dict) else {}
