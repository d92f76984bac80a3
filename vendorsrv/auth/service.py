"""Tokens of an account of vendorsrv's own, for requests to other servers."""

from __future__ import annotations

import logging
from typing import Final

from keystoneauth1 import loading
from keystoneauth1.session import Session
from oslo_config import cfg

from vendorsrv.auth.options import NO_ANSWER, account_of, cafile_option, find_account_problems, find_contradictions
from vendorsrv.concurrency import NoThreadFree, SingleFlight, ThreadBudget
from vendorsrv.errors import KeystoneUnavailable
from vendorsrv.settings import Problem, read
from vendorsrv.telemetry.tracebacks import without_secrets

LOG = logging.getLogger(__name__)

#: Seconds that a call to Keystone may take, and the number of threads for such calls.
KEYSTONE_TIMEOUT: Final = 2.0
KEYSTONE_THREADS: Final = 4
#: Seconds before its expiry in which a token is renewed; keystoneauth's own value (``identity/base.py``).
MIN_TOKEN_LIFE: Final = 120


def account_options(conf: cfg.ConfigOpts, section: str) -> dict[str, list[cfg.Opt]]:
    """Return the options of an account by section: the given one, and the one that its ``auth_section`` names."""
    common = loading.get_auth_common_conf_options()
    shared, options = account_of(conf, section)
    own = [*common, *options]
    return {section: own} if shared == section else {section: common, shared: [*own, cafile_option()]}


def find_service_problems(conf: cfg.ConfigOpts, section: str) -> list[Problem]:
    """Return what is wrong with an account; empty when it can request a token."""
    problems: list[Problem] = []
    for shared, options in account_options(conf, section).items():
        values, found = read(conf, shared, options)
        problems += found
    problems += find_account_problems(shared, values, "asks other services")
    return problems or find_contradictions(conf, section, shared)


def service_session(conf: cfg.ConfigOpts, section: str) -> Session:
    """Return a session with the account of a section in which :func:`find_service_problems` finds nothing."""
    cafile = conf[list(account_options(conf, section))[-1]].cafile
    auth = loading.load_auth_from_conf_options(conf, section)
    return Session(auth=auth, verify=cafile or True, timeout=KEYSTONE_TIMEOUT)


class ServiceToken:
    """The account's token, renewed before it expires; concurrent callers share one renewal.

    :param purpose: what the token is for, in messages.
    """

    def __init__(self, session: Session, purpose: str) -> None:
        self.session = session
        self.purpose = purpose
        self.token = ""
        self.single_flight: SingleFlight[str] = SingleFlight()
        self.threads = ThreadBudget(KEYSTONE_THREADS)

    async def get(self, refused: str | None = None) -> str:
        """Return a token that does not expire soon.

        :param refused: a token that was not accepted: it is renewed, unless it has been already.
        :raises KeystoneUnavailable: Keystone does not answer, or refuses the account.
        """
        known = getattr(self.session.auth, "auth_ref", None)  # plugins for fixed tokens have none
        expires_soon = known is not None and known.will_expire_soon(MIN_TOKEN_LIFE)
        if self.token and self.token != refused and not expires_soon:
            return self.token
        return await self.single_flight.run("token", lambda: self.renew(refused))

    async def renew(self, refused: str | None) -> str:
        if refused and refused == self.token:
            self.session.invalidate()
        try:
            self.token = await self.threads.run(self.session.get_token) or ""
        except (*NO_ANSWER, NoThreadFree) as error:
            LOG.warning("cannot get a token for %s: %s: %s", self.purpose, type(error).__name__, without_secrets(error))
            raise KeystoneUnavailable(f"cannot get a token for {self.purpose}") from None
        return self.token
