"""keystoneauth sessions for handlers (``self.openstack``): the account's token for the project of the instance."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.to_thread import run_sync
from keystoneauth1 import exceptions
from keystoneauth1.exceptions import CatalogException, Forbidden, HttpServerError, Unauthorized
from keystoneauth1.session import Session

from vendorsrv.auth.account import Account
from vendorsrv.errors import FactsRefused, FactsUnavailable
from vendorsrv.request import DEADLINE, STILL_OURS
from vendorsrv.telemetry.tracebacks import without_secrets

if TYPE_CHECKING:
    from requests import Response

LOG = logging.getLogger(__name__)

#: Seconds by which a request ends before the run.
MARGIN: Final = 0.05
#: Requests that a worker makes at once for the coroutines of a handler.
THREADS: Final = 16


class ProjectSession(Session):
    """A session for one project, for use in a thread.

    Each step of a request has the account's ``timeout``, or what is left of the run's time. The catalogue's endpoint is
    that of the account's region and interfaces, unless ``endpoint_filter`` says otherwise.

    :param project_id: the instance's; the account's own scope overrides it with ``[facts] scope = admin``.
    """

    def __init__(self, account: Account, project_id: str | None) -> None:
        shared = account.session
        super().__init__(
            auth=account.plugin(project_id),
            session=shared.session,
            verify=shared.verify,
            cert=shared.cert,
            timeout=shared.timeout,
            discovery_cache=account.discovered,
        )
        self.endpoints = {"region_name": account.region, "interface": list(account.interfaces)}

    def request(self, url: str, method: str, **options: Any) -> Response:  # type: ignore[override]  # the same, shorter
        """Send a request; see ``keystoneauth1.session.Session.request``.

        :raises FactsUnavailable: the service does not answer, or answers with a status 5xx.
        :raises FactsRefused: it refuses the account: 401 or 403.
        :raises keystoneauth1.exceptions.HttpError: it answers with another error status, unless ``raise_exc`` is false.
        :raises PinsUnavailable: the run has lost its claim of the instance; nothing is sent.
        """
        STILL_OURS.get()()
        wanted = options.get("endpoint_filter")
        service = f"OpenStack's {wanted.get('service_type')} service" if wanted else "OpenStack"
        if wanted:
            options["endpoint_filter"] = {**self.endpoints, **wanted}
        left = DEADLINE.get() - MARGIN - time.monotonic()
        if left <= 0:
            raise FactsUnavailable(f"{service} did not answer in time")
        options["timeout"] = min(left, options.get("timeout") or self.timeout or left)
        # keystoneauth's own requests, for a token or for versions: it reads their errors.
        if options.get("authenticated") is False:
            return super().request(url, method, **options)
        try:
            return super().request(url, method, **options)
        except (Unauthorized, Forbidden) as error:
            LOG.warning("%s: %s: %s", service, type(error).__name__, without_secrets(error))
            raise FactsRefused(f"{service} refuses vendorsrv's account") from None
        except CatalogException:
            raise FactsUnavailable(f"Keystone's catalogue has no {service}") from None
        except (exceptions.ConnectionError, HttpServerError) as error:
            LOG.warning("%s: %s: %s", service, type(error).__name__, without_secrets(error))
            raise FactsUnavailable(f"{service} does not answer") from None


class AsyncSession:
    """The same for coroutines: each request is made in a thread.

    :param session: it.
    """

    def __init__(self, session: ProjectSession, threads: anyio.CapacityLimiter) -> None:
        self.session = session
        self.threads = threads

    async def request(self, url: str, method: str, **options: Any) -> Response:
        """See :meth:`ProjectSession.request`."""
        STILL_OURS.get()()
        return await run_sync(partial(self.session.request, url, method, **options), limiter=self.threads)

    async def get(self, url: str, **options: Any) -> Response:
        """Send a GET request."""
        return await self.request(url, "GET", **options)

    async def post(self, url: str, **options: Any) -> Response:
        """Send a POST request."""
        return await self.request(url, "POST", **options)

    async def put(self, url: str, **options: Any) -> Response:
        """Send a PUT request."""
        return await self.request(url, "PUT", **options)

    async def delete(self, url: str, **options: Any) -> Response:
        """Send a DELETE request."""
        return await self.request(url, "DELETE", **options)
