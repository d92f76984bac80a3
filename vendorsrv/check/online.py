"""Ask Keystone, the database, the shared cache and the services that know facts, which only ``--online`` does."""

from __future__ import annotations

import asyncio
from typing import Final

from vendorsrv.auth.options import AUTHTOKEN
from vendorsrv.auth.tokens import Authenticator
from vendorsrv.cache.answers import find_cache_problems, is_shared
from vendorsrv.cache.stores import StoreRefused, StoreUnavailable, open_store
from vendorsrv.check.account import find_in_account
from vendorsrv.check.findings import Finding, IniFile
from vendorsrv.check.pins import DATABASE, without_place
from vendorsrv.database.engine import Database, DatabaseUnavailable
from vendorsrv.database.schema import verify
from vendorsrv.database.url import async_url
from vendorsrv.errors import ConfigError, KeystoneUnavailable
from vendorsrv.settings import Settings

#: Seconds that the database and the cache may take.
TIMEOUT: Final = 5.0


async def find_online(ini: IniFile, settings: Settings, *, pins: bool) -> list[Finding]:
    """Return an error for each of them that does not answer, or refuses; nothing is written to them.

    :param settings: a configuration that has no errors otherwise.
    :param pins: whether a handler pins its answers.
    """
    found = []
    try:
        await Authenticator(settings).check_ready()
    except KeystoneUnavailable as error:
        found.append(ini.error(str(error), AUTHTOKEN))
    if pins and (reason := await refusal_of_database(settings)):
        found.append(ini.error(reason, *DATABASE))
    find_cache_problems(settings.conf)  # it registers the options, too
    if is_shared(settings.conf):
        try:
            await asyncio.to_thread(open_store(settings.conf, TIMEOUT).get, "vendorsrv-check")
        except (StoreUnavailable, StoreRefused) as error:
            found.append(ini.error(f"the cache does not answer ({error})", "cache"))
    return found + await find_in_account(ini, settings)


async def refusal_of_database(settings: Settings) -> str | None:
    database = Database(async_url(settings.database), TIMEOUT)
    try:
        if not (database.in_memory or database.is_missing):  # the server creates these
            await verify(database)
    except ConfigError as error:
        return without_place(error, *DATABASE)
    except DatabaseUnavailable as error:
        return f"the database does not answer ({error.kind})"
    finally:
        await database.close()
    return None
