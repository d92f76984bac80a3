"""Nova's side of the configuration: the traps of a nova.conf that a file can show."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from keystoneauth1 import loading
from keystoneauth1.session import Session
from oslo_config import cfg
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from vendorsrv.check.findings import Finding, IniFile
from vendorsrv.check.tls import refusal
from vendorsrv.errors import ConfigError
from vendorsrv.nova.credentials import NOVA_GROUP, from_nova_conf, one_line, open_nova_conf
from vendorsrv.settings import Settings, read
from vendorsrv.suggest import did_you_mean

API: Final = "api"
#: The one name that an instance's cloud-init looks at, and our path for it.
CLOUD_INIT: Final = "cloud-init"
PROVIDERS: Final = "vendordata_providers"
TARGETS: Final = "vendordata_dynamic_targets"
CERTFILE: Final = "vendordata_dynamic_ssl_certfile"
READ_TIMEOUT: Final = "vendordata_dynamic_read_timeout"

#: Nova's own declarations (``nova/conf/api.py``), as far as vendordata goes.
OPTIONS: Final = (
    cfg.ListOpt(PROVIDERS, default=["StaticJSON"]),
    cfg.ListOpt(TARGETS, default=[]),
    cfg.StrOpt(CERTFILE, default=""),
    cfg.IntOpt("vendordata_dynamic_connect_timeout", default=5, min=3),
    cfg.IntOpt(READ_TIMEOUT, default=5, min=0),
    cfg.BoolOpt("vendordata_dynamic_failure_fatal", default=False),
    cfg.StrOpt("vendordata_jsonfile_path"),
)
KNOWN_PROVIDERS: Final = frozenset({"StaticJSON", "DynamicJSON"})
ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104


class NovaConf:
    """What a nova.conf says about vendordata.

    :ivar ini: its lines.
    :ivar values: Nova's ``[api] vendordata_*`` options; without those that cannot be read.
    :raises ConfigError: the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.ini = IniFile(path)
        self.findings = list(self.ini.broken)
        self.values: dict[str, Any] = {}
        if self.findings:
            return
        conf = open_nova_conf(path)
        # Values may refer to them, as in $my_ip.
        for section, option in self.ini.options:
            if section == "DEFAULT":
                conf.register_opt(cfg.StrOpt(option))
        self.values, problems = read(conf, API, OPTIONS)
        self.findings += [self.ini.error(problem.message, API, problem.option) for problem in problems]

    @property
    def read_timeout(self) -> float:
        """Seconds that Nova waits for an answer."""
        return float(self.values.get(READ_TIMEOUT, 5))

    def find(
        self, settings: Settings, enabled: Sequence[str], *, usable_tls: bool, guarded: Collection[str] = ()
    ) -> Iterator[Finding]:
        """Name every trap.

        :param settings: our side.
        :param enabled: the names of the enabled handlers.
        :param guarded: those of them whose answers are what cloud-init takes.
        :param usable_tls: whether our own certificates can be tried.
        """
        yield from self.findings
        if self.ini.broken:
            return
        yield from self.find_misplaced()
        yield from self.find_providers()
        yield from self.find_timeouts(settings)
        session, problems = self.account()
        yield from problems
        yield from Targets(self, settings, enabled, session, usable_tls=usable_tls, guarded=guarded).find()

    def find_misplaced(self) -> Iterator[Finding]:
        names = [option.dest for option in OPTIONS]
        for section, name in self.ini.options:
            if name.startswith("vendordata_") and (section != API or name not in names):
                place = f"; it belongs into [{API}]" if name in names else did_you_mean(name, names)
                yield self.ini.error(f"Nova has no such option{place}", section, name)
        for section in self.ini.sections:
            if section != NOVA_GROUP and did_you_mean(section, [NOVA_GROUP]):
                yield self.ini.error(f"Nova has no such section; did you mean [{NOVA_GROUP}]?", section)
        options = [*loading.get_session_conf_options(), *loading.get_auth_common_conf_options()]
        for plugin in ("password", "v3applicationcredential", "v3password", "v3token"):
            options += loading.get_auth_plugin_conf_options(plugin)
        yield from self.ini.find_unknown({NOVA_GROUP: options})

    def find_providers(self) -> Iterator[Finding]:
        providers = self.values.get(PROVIDERS, KNOWN_PROVIDERS)
        for name in providers:
            if name not in KNOWN_PROVIDERS:
                reason = f"there is no provider {name}{did_you_mean(name, KNOWN_PROVIDERS)}"
                yield self.ini.error(f"{reason}; every boot with a config drive fails", API, PROVIDERS)
        if "DynamicJSON" not in providers:
            yield self.ini.error("it lacks DynamicJSON: Nova asks no vendordata server", API, PROVIDERS)
        elif "StaticJSON" not in providers:
            reason = "it lacks StaticJSON: without it every boot with a config drive fails"
            yield self.ini.error(reason, API, PROVIDERS)

    def find_timeouts(self, settings: Settings) -> Iterator[Finding]:
        if READ_TIMEOUT in self.values and self.read_timeout == 0:
            yield self.ini.error("with 0 every call fails", API, READ_TIMEOUT)
        elif settings.request_timeout >= self.read_timeout:
            ours = f"our request_timeout of {settings.request_timeout:g} s"
            reason = f"{self.read_timeout:g} s is not above {ours}: Nova gives up first"
            yield self.ini.error(reason, API, READ_TIMEOUT)

    def account(self) -> tuple[Session | None, list[Finding]]:
        """Give the session that Nova builds, if it can, and what is wrong with its account."""
        try:
            session = from_nova_conf(self.ini.path)
        except ConfigError as error:
            section, _, reason = str(error).removeprefix(f"{self.ini.path}: [").partition("] ")
            return None, [self.ini.error(reason, section)]
        if session.auth is None:
            reason = "it is not set: Nova sends no token, and is answered with 401"
            return session, [self.ini.error(reason, NOVA_GROUP, "auth_type")]
        return session, list(self.find_account(session))

    def find_account(self, session: Session) -> Iterator[Finding]:
        url = getattr(session.auth, "auth_url", None)
        if url and not url.rstrip("/").endswith("/v3"):
            reason = "it does not end in /v3: while Keystone is away, boots fail although failures are not fatal"
            yield self.ini.warning(reason, NOVA_GROUP, "auth_url")
        if (NOVA_GROUP, "timeout") not in self.ini.options:
            reason = "it is not set: a Keystone that hangs blocks boots without end; 5 is good"
            yield self.ini.warning(reason, NOVA_GROUP, "timeout")


class Targets:
    """The targets of a nova.conf, seen from our server."""

    def __init__(
        self,
        nova: NovaConf,
        settings: Settings,
        enabled: Sequence[str],
        session: Session | None,
        *,
        usable_tls: bool,
        guarded: Collection[str],
    ) -> None:
        self.ini = nova.ini
        self.values = nova.values
        self.settings = settings
        self.guarded = guarded
        self.enabled = enabled
        self.session = session
        self.usable_tls = usable_tls
        self.lead_here = False

    def find(self) -> Iterator[Finding]:
        names: set[str] = set()
        for target in self.values.get(TARGETS, ()):
            name, at, url = target.partition("@")
            if not at or "://" in name:
                reason = f"{one_line(target)} has no name, and is skipped; Nova splits at commas: in a URL write %2C"
                yield self.error(reason)
                continue
            for reason in self.of_name(name, names):
                yield self.error(f"target {name} {reason}")
            names.add(name)
            yield from self.of_url(name, url)
        if TARGETS in self.values and not self.lead_here:
            where = f"{self.settings.host} port {self.settings.port}"
            yield self.ini.warning(f"no target leads to this server ({where})", API, TARGETS)

    def error(self, reason: str) -> Finding:
        return self.ini.error(reason, API, TARGETS)

    def of_name(self, name: str, before: set[str]) -> Iterator[str]:
        if not name:
            yield "has an empty name"
        if name == "static":
            yield "is dropped: StaticJSON has this name"
        if name in before:
            yield "is there twice; the second one is skipped"

    def of_url(self, name: str, url: str) -> Iterator[Finding]:
        parts = split(url)
        if parts is None:
            yield self.error(f"target {name} has no http:// or https:// URL")
            return
        handler = parts.path.strip("/")
        direct = self.is_ours(parts)
        if not direct and handler not in (*self.enabled, CLOUD_INIT):
            return
        self.lead_here = True
        for reason in self.of_path(parts.path, handler):
            yield self.error(f"target {name}: {reason}")
        yield from self.of_cloud_init(name, handler)
        if direct:
            for option, reason in self.of_scheme(parts):
                yield self.ini.error(f"target {name}: {reason}", API, option)

    def is_ours(self, parts: SplitResult) -> bool:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return port == self.settings.port and may_be(parts.hostname or "", self.settings.host)

    def of_path(self, path: str, handler: str) -> Iterator[str]:
        if handler and handler not in (*self.enabled, CLOUD_INIT):
            yield f"no handler {handler} is enabled here{did_you_mean(handler, self.enabled)}"
        elif path not in ("", "/", f"/{handler}"):
            yield f"its path must be /{handler}, without another slash"

    def of_cloud_init(self, name: str, handler: str) -> Iterator[Finding]:
        if name != CLOUD_INIT and handler == CLOUD_INIT:
            reason = f"target {name}: an instance's cloud-init looks at no name but cloud-init"
            yield self.ini.warning(reason, API, TARGETS)
        elif name == CLOUD_INIT and not handler:
            yield self.error("target cloud-init: / answers with an object, and cloud-init takes nothing but a string")
        elif name == CLOUD_INIT and handler not in (*self.guarded, CLOUD_INIT):
            reason = "target cloud-init: cloud-init takes nothing but a string, and the handler must answer with one"
            yield self.ini.warning(reason, API, TARGETS)

    def of_scheme(self, parts: SplitResult) -> Iterator[tuple[str, str]]:
        if parts.scheme == "http" and self.settings.cert_file:
            yield TARGETS, "it is http, and this server speaks https"
        elif parts.scheme == "https" and not self.settings.cert_file:
            yield TARGETS, "it is https, and this server speaks http (cert_file is not set)"
        elif self.settings.cert_file and self.usable_tls:
            yield from self.of_certificates(parts.hostname or "")

    def of_certificates(self, host: str) -> Iterator[tuple[str, str]]:
        bundle = self.values.get(CERTFILE)
        client = self.session.cert if self.session else None
        if bundle and not Path(bundle).exists():
            yield CERTFILE, f"{bundle} does not exist here; then boots fail although failures are not fatal"
        elif self.settings.ca_file and not client:
            reason = f"this server asks for a certificate (ca_file), and [{NOVA_GROUP}] has no certfile and keyfile"
            yield TARGETS, reason
        elif refused := refusal(self.settings, host, bundle or DEFAULT_CA_BUNDLE_PATH, client):
            yield CERTFILE, f"the certificates of this server and of Nova do not fit: {refused}"


def split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = parts.hostname and parts.port != 0 and parts.scheme in {"http", "https"}
    except ValueError:
        return None
    return parts if usable else None


def may_be(host: str, ours: str) -> bool:
    """Say whether a host of a URL can be the one that we listen on; a name can be any address."""
    try:
        return ip_address(host) == ip_address(ours) or ours in ANY_ADDRESS
    except ValueError:
        return True
