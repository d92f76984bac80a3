"""Check a nova.conf: its options for vendordata, its account, and its targets against this server's configuration."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from oslo_config import cfg

from vendorsrv.check.connections import find_in_keystone, find_unfilled
from vendorsrv.check.findings import Finding, IniFile
from vendorsrv.check.tls import refusal
from vendorsrv.errors import ConfigError
from vendorsrv.nova.client import CA_BUNDLE, CONNECTION_OPTIONS
from vendorsrv.nova.credentials import NOVA_GROUP, account_options, from_nova_conf, one_line, open_nova_conf
from vendorsrv.peers.addresses import ANY_ADDRESS
from vendorsrv.settings import Settings, read
from vendorsrv.suggest import did_you_mean

API: Final = "api"
#: The only name that an instance's cloud-init reads, and our path for it.
CLOUD_INIT: Final = "cloud-init"
PROVIDERS: Final = "vendordata_providers"
TARGETS: Final = "vendordata_dynamic_targets"
CERTFILE: Final = "vendordata_dynamic_ssl_certfile"
READ_TIMEOUT: Final = "vendordata_dynamic_read_timeout"

#: Nova's own declarations of the vendordata options (``nova/conf/api.py``).
OPTIONS: Final = (
    *CONNECTION_OPTIONS,
    cfg.ListOpt(PROVIDERS, default=["StaticJSON"]),
    cfg.ListOpt(TARGETS, default=[]),
    cfg.BoolOpt("vendordata_dynamic_failure_fatal", default=False),
    cfg.StrOpt("vendordata_jsonfile_path"),
)
#: What a value of oslo.config has in the place of another option's; ``$$`` is a dollar.
REFERENCE: Final = re.compile(r"\$(?:\$|\{?([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?))")
KNOWN_PROVIDERS: Final = frozenset({"StaticJSON", "DynamicJSON"})


class NovaConf:
    """The vendordata configuration of a nova.conf.

    :ivar ini: its lines.
    :ivar values: Nova's ``[api] vendordata_*`` options, except those with invalid values.
    :raises ConfigError: the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.ini = IniFile(path)
        self.findings = list(self.ini.broken)
        self.values: dict[str, Any] = {}
        if self.findings:
            return
        conf = open_nova_conf(path)
        self.findings += self.register_references(conf)
        self.values, problems = read(conf, API, OPTIONS)
        self.findings += [self.ini.error(problem.message, API, problem.option) for problem in problems]

    def register_references(self, conf: cfg.ConfigOpts) -> Iterator[Finding]:
        """Register what the options of ``[api]`` refer to, such as ``$my_ip`` and ``$vnc.server_listen``, however far.

        :returns: a warning for each that the file does not set, in whose place Nova has a value of its own.
        """
        places = [(API, option.dest) for option in OPTIONS]
        for section, name in places:  # it grows: what is referred to can refer to others
            for found in REFERENCE.finditer(self.ini.values.get((section, name), "")):
                group, _, option = (found[1] or "").rpartition(".")
                group = group or (section if (section, option) in {*places, *self.ini.options} else "DEFAULT")
                if not option or (group, option) in places:
                    continue
                places.append((group, option))
                default = None
                if (group, option) not in self.ini.options:
                    default = option
                    reason = f"refers to ${found[1]}, which this file does not set; Nova has its own value there"
                    yield self.ini.warning(reason, section, name)
                conf.register_opt(cfg.StrOpt(option, default=default), group=None if group == "DEFAULT" else group)

    @property
    def read_timeout(self) -> float:
        """Seconds that Nova waits for an answer."""
        return float(self.values.get(READ_TIMEOUT, 5))

    def find(
        self, settings: Settings, enabled: Sequence[str], *, usable_tls: bool, for_cloud_init: Collection[str] = ()
    ) -> Iterator[Finding]:
        """Yield every finding.

        :param enabled: the names of the enabled handlers.
        :param for_cloud_init: the names of those whose answers are for cloud-init.
        :param usable_tls: whether vendorsrv's own certificates can be loaded.
        """
        yield from self.findings
        if self.ini.broken:
            return
        yield from find_unfilled(self.ini)
        yield from self.find_misplaced()
        yield from self.find_providers()
        yield from self.find_timeouts(settings)
        certificate = None
        try:
            session = from_nova_conf(self.ini.path)
        except ConfigError as error:
            section, _, reason = str(error).removeprefix(f"{self.ini.path}: [").partition("] ")
            yield self.ini.error(reason, section)
        else:
            certificate = session.cert
            yield from self.find_account(session.auth)
            yield from self.find_connection(session)
        yield from Targets(self, settings, enabled, for_cloud_init, certificate, usable_tls).find()

    def find_misplaced(self) -> Iterator[Finding]:
        names = [option.dest for option in OPTIONS]
        for section, name in self.ini.options:
            if name.startswith("vendordata_") and (section != API or name not in names):
                place = f"; it belongs in [{API}]" if name in names else did_you_mean(name, names)
                yield self.ini.error(f"Nova has no such option{place}", section, name)
        for section in self.ini.sections:
            if section != NOVA_GROUP and did_you_mean(section, [NOVA_GROUP]):
                yield self.ini.error(f"Nova has no such section; did you mean [{NOVA_GROUP}]?", section)
        yield from self.ini.find_unknown({NOVA_GROUP: account_options()})

    def find_providers(self) -> Iterator[Finding]:
        providers = self.values.get(PROVIDERS, KNOWN_PROVIDERS)
        for name in providers:
            if name not in KNOWN_PROVIDERS:
                reason = f"there is no provider {name}{did_you_mean(name, KNOWN_PROVIDERS)}"
                yield self.ini.error(f"{reason}; every boot with a config drive fails", API, PROVIDERS)
        if "DynamicJSON" not in providers:
            yield self.ini.error("DynamicJSON is missing: Nova will not call any vendordata server", API, PROVIDERS)
        elif "StaticJSON" not in providers:
            yield self.ini.error("StaticJSON is missing: every boot with a config drive fails", API, PROVIDERS)

    def find_timeouts(self, settings: Settings) -> Iterator[Finding]:
        if READ_TIMEOUT in self.values and self.read_timeout == 0:
            yield self.ini.error("0 makes every call fail", API, READ_TIMEOUT)
        elif settings.request_timeout >= self.read_timeout:
            ours = f"vendorsrv's request_timeout ({settings.request_timeout:g} s)"
            reason = f"{self.read_timeout:g} s must be more than {ours}, or Nova gives up first"
            yield self.ini.error(reason, API, READ_TIMEOUT)

    def find_connection(self, session: Any) -> Iterator[Finding]:
        url, insecure = getattr(session.auth, "auth_url", None), session.verify is False
        yield from find_in_keystone(self.ini, NOVA_GROUP, url, insecure=insecure)
        if isinstance(session.verify, str) and not Path(session.verify).exists():
            reason = f"{session.verify} does not exist here; boots fail without it, although failures are not fatal"
            yield self.ini.warning(reason, NOVA_GROUP, "cafile")

    def find_account(self, auth: Any) -> Iterator[Finding]:
        if auth is None:
            reason = "not set: Nova sends no token, and every call is answered 401"
            yield self.ini.error(reason, NOVA_GROUP, "auth_type")
            return
        if (auth_url := getattr(auth, "auth_url", None)) and not auth_url.rstrip("/").endswith("/v3"):
            reason = "does not end in /v3: while Keystone is unavailable, boots fail although failures are not fatal"
            yield self.ini.warning(reason, NOVA_GROUP, "auth_url")
        if (NOVA_GROUP, "timeout") not in self.ini.options:
            reason = "not set: a Keystone that hangs blocks boots for ever; set 5"
            yield self.ini.warning(reason, NOVA_GROUP, "timeout")


@dataclass
class Targets:
    """The targets of a nova.conf, compared with this server."""

    nova: NovaConf
    settings: Settings
    enabled: Sequence[str]
    for_cloud_init: Collection[str]
    certificate: str | tuple[str, str] | None
    usable_tls: bool
    point_here: bool = False

    def find(self) -> Iterator[Finding]:
        names: set[str] = set()
        for target in self.nova.values.get(TARGETS, ()):
            name, at, url = target.partition("@")
            if not at or "://" in name:
                cure = "write NAME@URL" if "://" in target else "a comma in a URL must be written as %2C"
                reason = f"{one_line(target)} has no name, and Nova skips it; {cure}"
                yield self.error(reason)
                continue
            for reason in self.check_name(name, names):
                yield self.error(f"target {name} {reason}")
            names.add(name)
            yield from self.check_url(name, url)
        if TARGETS in self.nova.values and not self.point_here:
            where = f"{self.settings.host} port {self.settings.port}"
            yield self.nova.ini.warning(f"no target points to this server ({where})", API, TARGETS)

    def error(self, reason: str) -> Finding:
        return self.nova.ini.error(reason, API, TARGETS)

    def check_name(self, name: str, before: set[str]) -> Iterator[str]:
        if not name:
            yield "has an empty name"
        if name == "static":
            yield "is dropped: this is the name of StaticJSON"
        if name in before:
            yield "is configured twice; Nova skips the second one"

    def check_url(self, name: str, url: str) -> Iterator[Finding]:
        parts = split(url)
        if parts is None:
            yield self.error(f"target {name} has no http:// or https:// URL")
            return
        handler = parts.path.strip("/")
        direct = self.is_ours(parts)
        if not direct and handler not in (*self.enabled, CLOUD_INIT):
            return
        self.point_here = True
        if not direct and may_be_our_host(parts.hostname or "", self.settings.host):
            reason = f"target {name}: this server listens on port {self.settings.port}; a load balancer may be there"
            yield self.nova.ini.note(reason, API, TARGETS)
        for reason in self.check_path(parts.path, handler):
            yield self.error(f"target {name}: {reason}")
        yield from self.check_cloud_init(name, handler)
        if direct:
            for option, reason in self.check_scheme(parts):
                yield self.nova.ini.error(f"target {name}: {reason}", API, option)

    def is_ours(self, parts: SplitResult) -> bool:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return port == self.settings.port and may_be_our_host(parts.hostname or "", self.settings.host)

    def check_path(self, path: str, handler: str) -> Iterator[str]:
        if handler and handler not in (*self.enabled, CLOUD_INIT):
            yield f"no handler {handler} is enabled here{did_you_mean(handler, self.enabled)}"
        elif path not in ("", "/", f"/{handler}"):
            yield f"its path must be /{handler}, without a slash at the end"

    def check_cloud_init(self, name: str, handler: str) -> Iterator[Finding]:
        if name != CLOUD_INIT and handler == CLOUD_INIT:
            reason = f"target {name}: an instance's cloud-init reads only the target named cloud-init"
            yield self.nova.ini.warning(reason, API, TARGETS)
        elif name == CLOUD_INIT and not handler:
            yield self.error("target cloud-init: / answers with an object, and cloud-init accepts only a string")
        elif name == CLOUD_INIT and handler not in (*self.for_cloud_init, CLOUD_INIT):
            reason = "target cloud-init: cloud-init accepts only a string, so the handler must answer with one"
            yield self.nova.ini.warning(reason, API, TARGETS)

    def check_scheme(self, parts: SplitResult) -> Iterator[tuple[str, str]]:
        if parts.scheme == "http" and self.settings.cert_file:
            yield TARGETS, "the URL is http, but this server speaks https"
        elif parts.scheme == "https" and not self.settings.cert_file:
            yield TARGETS, "the URL is https, but this server speaks http (cert_file is not set)"
        elif self.settings.cert_file and self.usable_tls:
            yield from self.check_certificates(parts.hostname or "")

    def check_certificates(self, host: str) -> Iterator[tuple[str, str]]:
        bundle = self.nova.values.get(CERTFILE)
        if bundle and not Path(bundle).exists():
            yield CERTFILE, f"{bundle} does not exist here; boots fail without it, although failures are not fatal"
        elif self.settings.ca_file and not self.certificate:
            reason = f"this server requires a client certificate (ca_file); set certfile and keyfile in [{NOVA_GROUP}]"
            yield TARGETS, reason
        elif refused := refusal(self.settings, host, bundle or CA_BUNDLE, self.certificate):
            yield CERTFILE, f"Nova and this server refuse each other's certificates: {refused}"


def split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0 and parts.scheme in {"http", "https"}
    except ValueError:
        return None
    return parts if usable else None


def may_be_our_host(host: str, ours: str) -> bool:
    """Whether a URL's host can be the address that the server listens on; a name can be any address."""
    try:
        return ip_address(host) == ip_address(ours) or ours in ANY_ADDRESS
    except ValueError:
        return True
