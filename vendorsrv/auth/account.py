"""The account of ``[service_account]``, which asks OpenStack about instances: a token for each project."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from threading import Lock
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync
from cachetools import LRUCache
from keystoneauth1 import loading
from keystoneauth1.access import AccessInfo
from keystoneauth1.exceptions import ClientException, Forbidden, NotFound, Unauthorized
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.plugin import AUTH_INTERFACE
from keystoneauth1.session import Session
from oslo_config import cfg

from vendorsrv.auth.options import NO_ANSWER
from vendorsrv.auth.service import (
    KEYSTONE_THREADS,
    KEYSTONE_TIMEOUT,
    MIN_TOKEN_LIFE,
    account_options,
    find_service_problems,
)
from vendorsrv.concurrency import SingleFlight
from vendorsrv.errors import FactsRefused, FactsUnavailable
from vendorsrv.settings import Problem, read
from vendorsrv.telemetry.tracebacks import without_secrets

LOG = logging.getLogger(__name__)

ACCOUNT: Final = "service_account"
#: Of keystoneauth's options for sessions and for services, those that matter here.
OF_SESSION: Final = ("cafile", "certfile", "keyfile", "insecure", "timeout")
OF_SERVICES: Final = ("region_name", "valid_interfaces")
INTERFACES: Final = ("internal", "public")
#: What an account's own scope consists of.
SCOPE: Final = ("project_name", "project_domain_id", "project_domain_name", "domain_id", "domain_name", "system_scope")
#: Projects whose tokens are kept.
PROJECTS: Final = 4_096


def is_set(conf: cfg.ConfigOpts) -> bool:
    """Whether the configuration has the account."""
    return any(read(conf, ACCOUNT, loading.get_auth_common_conf_options())[0].values())


def options_of_account(conf: cfg.ConfigOpts) -> dict[str, list[cfg.Opt]]:
    """Return the options of the account by section: its own, and the one that ``auth_section`` names."""
    own = [option for option in loading.get_session_conf_options() if option.dest in OF_SESSION]
    own += [option for option in loading.get_adapter_conf_options(False) if option.dest in OF_SERVICES]
    sections = account_options(conf, ACCOUNT)
    return {**sections, ACCOUNT: [*own, *sections[ACCOUNT]]}


def find_problems(conf: cfg.ConfigOpts, *, own_scope: bool) -> list[Problem]:
    """Return what is wrong with the account; empty when it can request tokens.

    :param own_scope: whether its tokens are for the project that its options name, and not for those of instances.
    """
    problems: list[Problem] = []
    for section, options in options_of_account(conf).items():
        values, found = read(conf, section, options)
        problems += found
    wrong = find_service_problems(conf, ACCOUNT)
    if not own_scope:  # the project of its own is not needed
        wrong = [each for each in wrong if each.option not in SCOPE]
    problems = [*dict.fromkeys((*problems, *wrong))]
    if problems:
        return problems
    loader: Any = loading.get_plugin_loader(values["auth_type"])
    if not issubclass(loader.plugin_class, BaseIdentityPlugin):
        return [Problem(section, "auth_type", f"{values['auth_type']} has no catalogue of services; use password")]
    if not values.get("auth_url"):
        return [Problem(section, "auth_url", "required")]
    if not own_scope and "applicationcredential" in values["auth_type"]:
        reason = f"{values['auth_type']} is bound to one project; use password, or [facts] scope = admin"
        return [Problem(section, "auth_type", reason)]
    return []


class Account:
    """The account, in which :func:`find_problems` finds nothing.

    :param own_scope: as there.
    :ivar session: for all its plugins.
    :ivar cafile: what certificates are verified with; None for the system's.
    """

    def __init__(self, conf: cfg.ConfigOpts, *, own_scope: bool) -> None:
        self.conf = conf
        self.own_scope = own_scope
        (shared, options) = list(options_of_account(conf).items())[-1]
        self.scope = {option.dest: None for option in options if option.dest in SCOPE}
        account = conf[ACCOUNT]
        self.cafile: str | None = account.cafile or conf[shared].cafile
        self.certificate: tuple[str | None, str | None] = (account.certfile, account.keyfile)
        self.insecure = bool(account.insecure)
        self.region = account.region_name
        self.interfaces = account.valid_interfaces or INTERFACES
        both = account.certfile and account.keyfile
        self.session = Session(
            verify=False if self.insecure else (self.cafile or True),
            cert=(account.certfile, account.keyfile) if both else account.certfile,
            timeout=account.timeout or KEYSTONE_TIMEOUT,
        )
        #: The versions of services, for sessions of handlers.
        self.discovered: dict[str, Any] = {}
        self.lock = Lock()
        self.plugins: LRUCache[str | None, BaseIdentityPlugin] = LRUCache(PROJECTS)
        self.single_flight: SingleFlight[AccessInfo] = SingleFlight()
        self.threads = anyio.CapacityLimiter(KEYSTONE_THREADS)

    def plugin(self, project_id: str | None) -> BaseIdentityPlugin:
        """Return the plugin for a project, which keeps its token; with the account's own scope, there is one."""
        key = None if self.own_scope else project_id
        with self.lock:  # handlers call this in threads as well
            plugin = self.plugins.get(key)
            if plugin is None:
                scope = {} if self.own_scope else {**self.scope, "project_id": project_id}
                loaded: Any = loading.load_auth_from_conf_options(self.conf, ACCOUNT, **scope)
                plugin = self.plugins[key] = loaded
        return plugin

    async def access(self, project_id: str | None, refused: str | None = None) -> AccessInfo:
        """Return a token for a project that does not expire soon, with the catalogue.

        :param refused: a token that was not accepted: it is renewed, unless it has been already.
        :raises FactsUnavailable: Keystone does not answer.
        :raises FactsRefused: it refuses the account, or the account has no role in the project.
        """
        plugin = self.plugin(project_id)
        known = plugin.auth_ref
        if known and known.auth_token != refused and not known.will_expire_soon(MIN_TOKEN_LIFE):
            return known
        return await self.single_flight.run(plugin, lambda: self.renew(plugin, refused))

    async def renew(self, plugin: BaseIdentityPlugin, refused: str | None) -> AccessInfo:
        if plugin.auth_ref and plugin.auth_ref.auth_token == refused:
            plugin.invalidate()
        try:
            return await run_sync(plugin.get_access, self.session, limiter=self.threads)
        except (Unauthorized, Forbidden, NotFound) as error:
            LOG.warning("Keystone: %s: %s", type(error).__name__, without_secrets(error))
            raise FactsRefused("Keystone gives vendorsrv's account no token for the instance's project") from None
        except NO_ANSWER as error:
            raise unavailable(error) from None

    async def projects(self) -> list[Mapping[str, Any]]:
        """Return the projects in which the account has a role, as Keystone's API has them (``GET /v3/auth/projects``).

        With the account's own scope, that is its own project. Raises as :meth:`access`.
        """
        access = await self.access(None)
        own = {"id": access.project_id, "name": access.project_name, "domain_id": access.project_domain_id}
        if self.own_scope:
            return [own]
        keystone = {"interface": AUTH_INTERFACE, "version": (3, 0)}
        get = partial(self.session.get, "/auth/projects", auth=self.plugin(None), endpoint_filter=keystone)
        try:
            found = (await run_sync(get, limiter=self.threads)).json()["projects"]
            return [{name: each[name] for name in own} for each in found]
        except NO_ANSWER as error:  # or something else answers in its place
            raise unavailable(error) from None

    def endpoint(self, access: AccessInfo, service_type: str) -> str | None:
        """Return the URL of a service in the catalogue; None if it has none."""
        try:
            url: str | None = access.service_catalog.url_for(
                service_type=service_type, interface=list(self.interfaces), region_name=self.region
            )
        except ClientException:
            return None
        return url


def unavailable(error: Exception) -> FactsUnavailable:
    """Return the error for a Keystone that does not answer, and log its reason."""
    LOG.warning("Keystone: %s: %s", type(error).__name__, without_secrets(error))
    return FactsUnavailable("Keystone does not answer")
