"""The local Keystone with what only tests need: roles, tokens, revocation, hanging and counted requests."""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import signal
from typing import Any, NamedTuple

from keystoneauth1.exceptions import HttpError
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

from vendorsrv.demo.keystone import LocalKeystone


class Account(NamedTuple):
    """A user of the domain ``default``, and the project that its tokens are scoped to (names)."""

    user: str
    password: str
    project: str

    def options(self, keystone_url: str) -> dict[str, Any]:
        """Return the options of ``[keystone_authtoken]`` for a server that validates tokens with this account."""
        return {
            "auth_type": "password",
            "auth_url": keystone_url,
            "www_authenticate_uri": keystone_url,
            "username": self.user,
            "password": self.password,
            "project_name": self.project,
            "user_domain_id": "default",
            "project_domain_id": "default",
        }


#: Nova's own, as newer deployments have it: role ``service`` in the project ``service``.
NOVA = Account("nova", "nova-password", "service")
#: Nova's own, as older deployments have it: role ``admin`` in the project ``service``.
NOVA_ADMIN = Account("admin-in-service", "admin-in-service-password", "service")
#: Somebody who boots instances: role ``member`` in the project ``demo``.
TENANT = Account("tenant", "tenant-password", "demo")
#: The server's account for validating tokens: role ``service`` in the project ``service``.
VENDORSRV = Account("vendorsrv", "vendorsrv-password", "service")

ROLES = {NOVA: "service", NOVA_ADMIN: "admin", TENANT: "member", VENDORSRV: "service"}


class Keystone(LocalKeystone):
    """A real Keystone that tests can look into and mistreat.

    :meth:`requests` needs ``log_file``, and to keep its data over a stop it needs ``directory``.
    """

    def create_accounts(self) -> None:
        """Create the projects ``service`` and ``demo``, and the four accounts of this module."""
        for project in ("service", "demo"):
            self.create_project(project)
        for account, role in ROLES.items():
            self.create_user(*account, [role])

    def create_role(self, name: str) -> None:
        """Create a role, which nobody has yet."""
        self.request("POST", "/roles", {"role": {"name": name}})

    def token(self, account: Account) -> str:
        """Issue a new token of this account."""
        return issued(self.session(*account))

    def short_token(self, account: Account, seconds: int = 1) -> str:
        """Issue a token that expires in this many seconds, or up to one more: tokens end on whole seconds.

        On a machine that is too busy to issue one within that time, it lasts longer.

        Keystone lets a token end with the application credential that it was issued for (CVE-2022-2447).
        """
        for patience in range(seconds, seconds + 60, 5):
            with contextlib.suppress(HttpError):
                return self.token_until(account, patience)
        raise AssertionError("Keystone issues no token within a minute")

    def token_until(self, account: Account, seconds: int) -> str:
        """Issue a token that expires then.

        :raises HttpError: the time was over before it was issued.
        """
        session = self.session(*account)
        path = f"{self.url}/users/{session.get_user_id()}/application_credentials"  # the log-in takes its time, too
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds + 1)
        asked = {"name": secrets.token_hex(4), "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
        made = session.post(path, json={"application_credential": asked}).json()["application_credential"]
        auth = v3.ApplicationCredential(
            self.url, application_credential_id=made["id"], application_credential_secret=made["secret"]
        )
        return issued(Session(auth=auth, timeout=30))

    def accepts(self, token: str) -> bool:
        """Whether this Keystone validates the token."""
        answer = self.session(*VENDORSRV).get(
            f"{self.url}/auth/tokens", headers={"X-Subject-Token": token}, raise_exc=False
        )
        return bool(answer.status_code == 200)

    def revoke(self, token: str) -> None:
        """Revoke a token: Keystone refuses it from now on."""
        session = Session(timeout=30)
        session.delete(f"{self.url}/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token})

    def requests(self, method: str, path: str) -> int:
        """Count the answered requests of this method and path, e.g. ``GET`` and ``/v3/auth/tokens``."""
        assert self.log_file is not None
        return self.log_file.read_text().count(f" {method} {path} ")

    def pause(self) -> None:
        """Make Keystone hang: it accepts connections and never answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """End :meth:`pause`; what came meanwhile is answered now. Harmless when it does not hang."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def revive(self) -> None:
        """Bring Keystone back, on the same port and with the same data, from a pause or a stop."""
        if self.process is None:
            self.start()
        else:
            self.resume()


def issued(session: Session) -> str:
    """The session's token; getting one without an error means that there is one."""
    token = session.get_token()
    assert token is not None
    return token
