"""Enrols each instance in a directory, once, and tells it the one-time password, as a vendorsrv handler."""

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

    Its settings stand in ``[handler:enrolment]``. The directory is that of :mod:`vendorsrv_enrolment.directory`.
    """

    pin = True  # Nova asks six times for one config drive: the first answer's password is the one that works
    on_error = OnError.FAIL  # better no instance than one that can never enrol
    options = (
        cfg.URIOpt("url", required=True, schemes=["http", "https"], help="Where the directory answers."),
        cfg.StrOpt("token", required=True, secret=True, help="What the directory knows this server by."),
        cfg.HostnameOpt("domain", required=True, help="The domain that the hosts are enrolled in."),
        cfg.FloatOpt(
            "directory_timeout", default=1.5, min=0.1, help="Seconds for the directory; it may be asked twice."
        ),
    )

    async def open(self) -> None:
        """Make the client that all requests of this worker share; it connects when it is first needed."""
        self.directory = httpx.AsyncClient(
            base_url=self.settings.url,
            headers={"Authorization": f"Bearer {self.settings.token}"},
            timeout=self.settings.directory_timeout,
            trust_env=False,  # a proxy of the environment would see the passwords
        )

    async def close(self) -> None:
        """Close its connections."""
        await self.directory.aclose()

    async def handle(self, request: VendordataRequest) -> dict[str, str]:
        """Enrol the instance, or give it another password when an earlier run's was lost."""
        # Not the hostname: the tenant chose it, and could choose that of somebody else's host.
        host = f"{request.instance_id}.{self.settings.domain}"
        status, said = await self.ask("POST", "/hosts", {"name": host})
        if status == 409:
            status, said = await self.renew(host, said)
        if status not in {200, 201} or not isinstance(said.get("otp"), str):
            LOG.warning("the directory answered %d, and no password", status)
            raise UpstreamError("the directory gave no one-time password")
        return {"host": host, "otp": said["otp"]}

    async def renew(self, host: str, known: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Replace the password of a host that was added by a run whose answer nobody got.

        The directory replaces none but the one that it told us of. So a run that overran its time, and whose request
        arrives late, cannot make the password void that another run got meanwhile and that is pinned.
        """
        if known.get("enrolled"):
            raise UpstreamError("the host is enrolled in the directory already")
        return await self.ask("PUT", f"/hosts/{host}/otp", {"revision": known.get("revision")})

    async def ask(self, method: str, path: str, what: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Ask the directory; give its status and the object that it answered, which is empty when it is none.

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
