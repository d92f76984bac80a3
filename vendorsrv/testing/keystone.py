"""A fake Keystone on keystonemiddleware's own fixture: tokens that the test issues, and no socket."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

from keystoneauth1.exceptions import ConnectFailure, ConnectTimeout

from vendorsrv.testing.switches import Switch

try:
    from keystoneauth1.fixture import V3Token
    from keystonemiddleware.fixture import AuthTokenFixture
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error.name} is not installed: pip install 'vendorsrv[testing]'") from None


class FakeKeystone(Switch):
    """A Keystone in this process, for the servers that it runs; a context manager.

    It replaces keystonemiddleware's call of Keystone (``AuthProtocol.fetch_token``), so there is no HTTP. When several
    are open, the innermost validates the tokens.

    It is ``available``; ``unavailable``, so that each call fails; or ``hanging``, so that no call is answered.

    :ivar validations: how often each token was validated.
    """

    behaviours = ("available", "unavailable", "hanging")
    active: ClassVar[list[FakeKeystone]] = []

    def __init__(self) -> None:
        self.validations: Counter[str] = Counter()
        self.over = threading.Event()
        self.fixture = Tokens(self)

    def __enter__(self) -> Self:
        self.fixture.setUp()
        self.active.append(self)
        self.own_token = self.issue("service")
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self.active.remove(self)
        self.fixture.cleanUp()

    def let_go(self) -> None:
        """End the calls that hang now."""
        self.over.set()
        self.over = threading.Event()

    def issue(self, *roles: str, project: str = "service", user: str = "nova", seconds: float = 3600.0) -> str:
        """Issue a token, and return it.

        :param roles: names, e.g. ``service`` for Nova's token and ``member`` for a tenant's.
        :param seconds: until it expires; a negative number for a token that has expired.
        """
        token = V3Token(
            user_id=f"id-of-{user}",
            user_name=user,
            user_domain_id="default",
            user_domain_name="Default",
            project_id=f"id-of-{project}",
            project_name=project,
            project_domain_id="default",
            project_domain_name="Default",
            expires=datetime.now(UTC) + timedelta(seconds=seconds),
        )
        for role in roles:
            token.add_role(name=role)
        issued: str = self.fixture.add_token(token, token_id=f"gAAAAAfake{uuid.uuid4().hex}")
        return issued

    def revoke(self, token: str) -> None:
        """Make a token invalid from now on.

        :raises KeyError: this Keystone did not issue it.
        """
        self.fixture.forget(token)


class Tokens(AuthTokenFixture):  # type: ignore[misc]
    """keystonemiddleware's fixture, which fails and hangs on demand."""

    def __init__(self, keystone: FakeKeystone) -> None:
        super().__init__()
        self.keystone = keystone

    def fetch_token(self, token: str, **options: Any) -> Mapping[str, Any]:
        """Return the description of a token, or raise the exception of a failed call."""
        self.keystone.validations[token] += 1
        if self.keystone.behaviour == "unavailable":
            raise ConnectFailure("the test has made Keystone unavailable")
        if self.keystone.behaviour == "hanging":
            self.keystone.over.wait(6.0)  # longer than Nova waits for an answer
            raise ConnectTimeout("the test has made Keystone hang")
        found: Mapping[str, Any] = super().fetch_token(token, **options)
        return found

    def forget(self, token: str) -> None:
        del self._token_data[token]
