"""The options of ``[keystone_authtoken]``: registered, defaulted for Nova's five seconds, and checked."""

from __future__ import annotations

from typing import Final

from keystoneauth1 import loading
from keystoneauth1.exceptions import ClientException
from keystoneauth1.session import Session
from keystonemiddleware import auth_token
from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.settings import read

AUTHTOKEN: Final = "keystone_authtoken"

#: Where the middleware looks for a cache of the caller's in the WSGI environ.
NO_CACHE: Final = "vendorsrv.no_cache"

#: Of these options of the password plugins one in each row must be set; keystoneauth itself notices only at the
#: first request.
PASSWORD_NEEDS: Final = (
    ("username", "user_id"),
    ("password",),
    ("project_name", "project_id", "system_scope", "domain_name", "domain_id"),
)


def register(conf: cfg.ConfigOpts) -> tuple[float, str]:
    """Register the section's options and prepare them for our own token cache.

    :returns: the seconds for which a validated token may be kept, and the value of ``WWW-Authenticate``.
    :raises ConfigError: the section is incomplete; names each option that is missing.
    """
    problems = find_problems(conf)
    if problems:
        raise ConfigError("\n".join(problems))
    keystone = conf[AUTHTOKEN]
    # Ours replaces the middleware's own cache, which takes 500 us for each hit, or memcached's time besides.
    conf.set_override("cache", NO_CACHE, group=AUTHTOKEN)
    # Only access rules need the catalogue: they are matched with the service's type in it.
    conf.set_default("include_service_catalog", bool(keystone.service_type), group=AUTHTOKEN)
    uri = keystone.www_authenticate_uri or conf[section_of(conf)].auth_url
    return float(keystone.token_cache_time), f'Keystone uri="{uri}"'


def find_problems(conf: cfg.ConfigOpts) -> list[str]:
    """Say what is missing or wrong in the section; empty when tokens can be validated with it."""
    problems = []
    for group, options in auth_token.list_opts():
        problems += read(conf, group, options)[1]
    # The middleware's defaults have no timeout at all, and three tries.
    conf.set_default("http_connect_timeout", 2, group=AUTHTOKEN)
    conf.set_default("http_request_max_retries", 1, group=AUTHTOKEN)
    return problems or find_account_problems(conf)


def find_account_problems(conf: cfg.ConfigOpts) -> list[str]:
    section = section_of(conf)
    conf.register_opts(loading.get_auth_common_conf_options(), group=section)
    auth_type = conf[section].auth_type
    if not auth_type:
        return [f"[{section}] auth_type is missing: vendorsrv needs an account of its own to validate tokens"]
    try:
        options = loading.get_auth_plugin_conf_options(loading.get_plugin_loader(auth_type))
    except ClientException:
        return [f"[{section}] auth_type: there is no plugin {auth_type!r}; most clouds use password"]
    values, problems = read(conf, section, options)
    for names in PASSWORD_NEEDS if "password" in auth_type else ():
        if not any(values.get(name) for name in names):
            problems.append(f"[{section}] {' or '.join(names)} is missing")
    if conf[AUTHTOKEN].delay_auth_decision:
        problems.append(
            f"[{AUTHTOKEN}] delay_auth_decision must be off: it makes Keystone's outage look like a bad token"
        )
    return problems


def section_of(conf: cfg.ConfigOpts) -> str:
    """Give the section that holds the account's options: ``auth_section``, or the usual one."""
    return conf[AUTHTOKEN].auth_section or AUTHTOKEN


def own_session(conf: cfg.ConfigOpts) -> Session:
    """Give a session with the account of the section, with which Keystone's readiness is found out.

    :raises ConfigError: the account's options contradict each other.
    """
    keystone = conf[AUTHTOKEN]
    try:
        plugin = loading.load_auth_from_conf_options(conf, AUTHTOKEN)
    except ClientException as error:
        raise ConfigError(f"[{section_of(conf)}] {error}") from None
    certificate = (keystone.certfile, keystone.keyfile) if keystone.certfile and keystone.keyfile else keystone.certfile
    return Session(
        auth=plugin,
        verify=False if keystone.insecure else (keystone.cafile or True),
        cert=certificate,
        timeout=keystone.http_connect_timeout,
    )
