"""Try each look-up of facts with the account of ``[service_account]``, without an instance."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from vendorsrv.auth.account import ACCOUNT, Account, is_set
from vendorsrv.check.findings import Finding, IniFile
from vendorsrv.errors import FactsRefused, FactsUnavailable
from vendorsrv.facts.client import SOURCES, Client, FactMissing
from vendorsrv.facts.options import GROUP, find_problems
from vendorsrv.settings import Settings

Project = Mapping[str, Any]

#: The services' own policies that a look-up has to pass.
POLICIES: Final = {
    "server": "os_compute_api:servers:index and os_compute_api:servers:show",
    "image": "get_images and get_image",
    "project": "identity:get_project",
}
#: Of these one is enough for the default policies.
ROLES: Final = {"reader", "admin"}
#: Seconds for one look-up.
TIMEOUT: Final = 5.0


async def find_in_account(ini: IniFile, settings: Settings) -> list[Finding]:
    """Return what the account cannot look up, and which role or policy it lacks; nothing without an account.

    :param settings: a configuration that has no errors otherwise.
    """
    if not is_set(settings.conf):
        return []
    find_problems(settings.conf)  # there are none; it registers the options
    trial = Trial(ini, settings)
    try:
        return [finding async for finding in trial.find()]
    finally:
        await trial.client.close()


class Trial:
    """Looks up what there is in projects that the account can see."""

    def __init__(self, ini: IniFile, settings: Settings) -> None:
        self.ini = ini
        self.account = Account(settings.conf, own_scope=settings.conf[GROUP].scope == "admin")
        self.client = Client(self.account, 1, TIMEOUT)

    async def find(self) -> AsyncIterator[Finding]:
        """Yield the findings about the account, and about each service in one project of each domain."""
        try:
            projects = await self.account.projects()
        except FactsRefused:
            own = ", or has no role in its project" if self.account.own_scope else ""
            yield self.ini.error(f"Keystone refuses the account: its name or password is wrong{own}", ACCOUNT)
            return
        except FactsUnavailable as error:
            yield self.ini.error(error.message, ACCOUNT)
            return
        if not self.account.own_scope:
            yield self.reach(projects)
        for project in {each["domain_id"]: each for each in reversed(projects)}.values():
            async for finding in self.find_in_project(project):
                yield finding

    def reach(self, projects: Sequence[Project]) -> Finding:
        """Return the finding about the projects whose instances have facts: all others are answered 503."""
        others = "instances of all other projects are answered 503"
        if not projects:
            return self.ini.error(f"it has no role in any project; {advice('DOMAIN')}", ACCOUNT)
        if len(projects) == 1:
            reason = f"it has a role in the project {projects[0]['name']} only: {others}; {advice('DOMAIN')}"
            return self.ini.warning(reason, ACCOUNT)
        domains = ", ".join(sorted({each["domain_id"] for each in projects}))
        return self.ini.note(f"it has roles in {len(projects)} projects of the domains {domains}: {others}", ACCOUNT)

    async def find_in_project(self, project: Project) -> AsyncIterator[Finding]:
        try:
            roles = (await self.account.access(project["id"])).role_names or []
        except FactsUnavailable:
            yield self.ini.error(f"Keystone gives it no token for the project {project['name']}", ACCOUNT)
            return
        if self.account.own_scope and "admin" not in roles:
            reason = f"admin needs the role admin in the project {project['name']}; the account has {listed(roles)}"
            yield self.ini.error(reason, GROUP, "scope")
        for fact in SOURCES:
            if refusal := await self.refusal(fact, project, roles):
                yield self.ini.error(refusal, ACCOUNT)

    async def refusal(self, fact: str, project: Project, roles: Sequence[str]) -> str | None:
        """Return why a fact cannot be looked up in a project, and what to do; None if it can."""
        service = SOURCES[fact].service
        try:
            await self.look_up(fact, project["id"])
        except FactsRefused:
            if ROLES & {*roles}:
                role = next(each for each in roles if each in ROLES)
                where = f"in the project {project['name']}"
                return f"{service} refuses the role {role} {where}: its policy must allow {POLICIES[fact]}"
            where = f"in the project {project['name']}, where it has {listed(roles)}"
            return f"{service} refuses it {where}; {advice(project['domain_id'])}"
        except FactsUnavailable as error:
            return error.message
        except TimeoutError:
            return f"{service} did not answer within {TIMEOUT:g} s"
        return None

    async def look_up(self, fact: str, project_id: str | None) -> None:
        """Look up the project, or what the service lists there first; without that, something that does not exist.

        To list is tried as well, as Nova and Glance say of what they do not show that it does not exist.
        """
        identifier = project_id if fact == "project" else await self.client.first(fact, project_id)
        with suppress(FactMissing):
            await self.client.get(fact, identifier or str(uuid.uuid4()), project_id)


def advice(domain: str) -> str:
    """Return what gives the account the role that it needs."""
    return f"openstack role add --user USER --domain {domain} --inherited reader"


def listed(roles: Sequence[str]) -> str:
    return f"the roles {', '.join(sorted(roles))}"
