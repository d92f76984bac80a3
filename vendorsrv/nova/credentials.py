"""Sessions for outgoing calls, from an operator's credentials or from Nova's own; each has a timeout."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import openstack.config
from keystoneauth1 import exceptions, loading
from keystoneauth1.plugin import BaseAuthPlugin
from keystoneauth1.session import Session
from openstack.exceptions import ConfigException
from oslo_config import cfg

from vendorsrv.errors import ConfigError
from vendorsrv.settings import UNRESOLVED, parse_into

#: The section of nova.conf with the account that Nova calls with (``nova/conf/vendordata.py``).
NOVA_GROUP: Final = "vendordata_dynamic_auth"
#: Seconds that Keystone may take when no timeout is configured. Nova itself then waits for ever.
KEYSTONE_TIMEOUT: Final = 10.0

WAYS: Final = (
    "set the OS_* variables, name a cloud in clouds.yaml (--os-cloud), read Nova's account (--nova-conf), "
    "or send no token (--anonymous)"
)
# Without one of these Keystone answers a bare 400 or 401.
NEEDED: Final = (("username", "user_id"), ("password",))
PASSWORD_TYPES: Final = frozenset({"password", "v3password", "v2password"})
REASONS: Final = (
    (exceptions.Unauthorized, "refused the credentials (HTTP 401)"),
    (exceptions.ConnectTimeout, "did not answer in time"),
    (exceptions.SSLError, "has a certificate that is not trusted here"),
    (exceptions.ConnectFailure, "cannot be reached"),
    (exceptions.DiscoveryFailure, "is unavailable, or is not a Keystone; its URL usually ends in /v3"),
    (exceptions.CatalogException, "cannot be called: its URL does not begin with http:// or https://"),
)
BAD_VALUE: Final = re.compile(r"^Value for option (\S+) from .* is not valid: ")
UNKNOWN_OPTION: Final = re.compile(r"unexpected keyword argument '(\w+)'")
USER_INFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")


def open_session(cloud: str | None, nova_conf: Path | None, *, no_token: bool) -> Session:
    """Return the session for a command's options ``--os-cloud``, ``--nova-conf`` and ``--anonymous``.

    :raises ConfigError: more than one of them is given, or the credentials cannot be used.
    """
    if sum(map(bool, (cloud, nova_conf, no_token))) > 1:
        raise ConfigError("only one of --os-cloud, --nova-conf and --anonymous can be given")
    if no_token:
        return anonymous()
    return from_nova_conf(nova_conf) if nova_conf else from_environment(cloud)


def anonymous() -> Session:
    """Return a session that sends no token, as Nova's does while ``[vendordata_dynamic_auth]`` is empty."""
    return Session(timeout=KEYSTONE_TIMEOUT)


def from_environment(cloud: str | None = None) -> Session:
    """Return a session with the credentials of a cloud in ``clouds.yaml``, or of the ``OS_*`` variables.

    :param cloud: the cloud's name; the variable ``OS_CLOUD`` by default.
    :raises ConfigError: there is no such cloud, or a required option is not set; the message names it.
    """
    cloud = cloud or os.environ.get("OS_CLOUD") or None
    try:
        with warnings.catch_warnings():
            # openstacksdk warns all users that its support of InfluxDB ends.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            region = openstack.config.OpenStackConfig(app_name="vendorsrv").get_one(cloud=cloud)
        timeout = float(region.config.get("api_timeout") or KEYSTONE_TIMEOUT)
    except exceptions.MissingRequiredOptions as error:
        raise ConfigError(missing(cloud, error.options[0].dest)) from None
    except (exceptions.AuthPluginException, ConfigException) as error:
        raise ConfigError(f"the credentials cannot be used: {one_line(error)}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # What openstack.config raises when something in the file has another type than it expects.
        unknown = UNKNOWN_OPTION.search(str(error))
        what = f"has an unknown option under auth: {unknown[1]}" if unknown else "has an invalid structure"
        raise ConfigError(f"the cloud {cloud} in clouds.yaml {what}") from None
    if absent := absent_option(region.config["auth_type"], region.config["auth"]):
        raise ConfigError(missing(cloud, absent))
    verify, certificate = region.get_requests_verify_args()
    return Session(auth=region.get_auth(), verify=True if verify is None else verify, cert=certificate, timeout=timeout)


def from_nova_conf(path: str | Path) -> Session:
    """Return the session that Nova builds from its own file (``nova/service_auth.py``).

    :returns: a session without ``auth`` when neither the section nor its ``auth_section`` has ``auth_type``;
        Nova then logs a warning, and sends no token.
    :raises ConfigError: the file cannot be read, or an option is wrong or not set; the message names it.
    """
    conf = open_nova_conf(path)
    try:
        loading.register_session_conf_options(conf, NOVA_GROUP)
        loading.register_auth_conf_options(conf, NOVA_GROUP)
        auth = loading.load_auth_from_conf_options(conf, NOVA_GROUP)
        session = loading.load_session_from_conf_options(conf, NOVA_GROUP, auth=auth)
        section = conf[NOVA_GROUP].auth_section or NOVA_GROUP
        absent = auth and absent_option(conf[section].auth_type, conf[section])
    except exceptions.MissingRequiredOptions as error:
        raise ConfigError(f"{path}: [{NOVA_GROUP}] {error.options[0].dest} is required") from None
    except UNRESOLVED:
        # Their text quotes what follows the $, which may be part of a password.
        raise ConfigError(f"{path}: [{NOVA_GROUP}] contains an unescaped $; write $$") from None
    except (exceptions.AuthPluginException, ValueError) as error:
        reason = BAD_VALUE.sub(r"\1: ", one_line(error))
        raise ConfigError(f"{path}: [{NOVA_GROUP}] {reason}") from None
    if absent:
        raise ConfigError(f"{path}: [{section}] {absent} is required")
    session.timeout = session.timeout or KEYSTONE_TIMEOUT
    return session


def account_options() -> list[cfg.Opt]:
    """Return the options that ``[vendordata_dynamic_auth]`` can have, for the usual kinds of accounts."""
    options = [*loading.get_session_conf_options(), *loading.get_auth_common_conf_options()]
    # Nova ignores those of an adapter there; deployment tools write them all the same.
    options += [*loading.get_adapter_conf_options(), cfg.StrOpt("os_region_name")]
    for plugin in ("password", "v3applicationcredential", "v3password", "v3token"):
        options += loading.get_auth_plugin_conf_options(plugin)
    return options


def open_nova_conf(path: str | Path) -> cfg.ConfigOpts:
    """Parse a nova.conf into a private ConfigOpts that has no options registered yet.

    :raises ConfigError: the file cannot be read, or is not an INI file; the message names the line and does not
        quote it, since it may hold a password.
    """
    conf = cfg.ConfigOpts()
    parse_into(conf, path, "nova")
    return conf


def authenticate(session: Session) -> None:
    """Get a session's token now, so that a later failure is the called server's.

    :raises ConfigError: Keystone is unavailable, too slow, or refuses the credentials; the message has its URL.
    """
    if session.auth is None:
        return
    try:
        session.get_auth_headers()
    except (exceptions.ClientException, OSError, ValueError) as error:
        # OSError: the CA file does not exist. ValueError: the URL or the timeout is invalid.
        raise ConfigError(explain(error, session.auth)) from None


def explain(error: Exception, auth: BaseAuthPlugin) -> str:
    keystone = f"Keystone at {one_line(getattr(auth, 'auth_url', None) or 'an unknown URL')}"
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return f"{keystone} {reason}"
    return f"{keystone} gave no token: {one_line(error)}"


def absent_option(auth_type: str, given: Mapping[str, Any]) -> str | None:
    if auth_type not in PASSWORD_TYPES:
        return None
    return next((names[0] for names in NEEDED if not any(given.get(name) for name in names)), None)


def missing(cloud: str | None, option: str) -> str:
    if cloud:
        return f"the cloud {cloud} in clouds.yaml has no {option} under auth"
    return f"OS_{option.upper()} is not set: {WAYS}"


def one_line(text: object) -> str:
    """Return foreign text as one line of printable characters, without users and passwords in URLs."""
    printable = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return USER_INFO.sub("", " ".join(printable.split()))
