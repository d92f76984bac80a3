"""Check a whole configuration before it is used, and report every finding in one run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from oslo_config import cfg

from vendorsrv.auth.options import AUTHTOKEN, declared, find_problems
from vendorsrv.auth.service import account_options
from vendorsrv.cache.answers import build_cache, find_cache_problems, is_shared
from vendorsrv.check.connections import find_in_connections
from vendorsrv.check.facts import find_fact_problems
from vendorsrv.check.files import find_in_files
from vendorsrv.check.findings import Declared, Finding, IniFile
from vendorsrv.check.lifecycle import find_in_lifecycle, options_of_lifecycle
from vendorsrv.check.pins import find_contradictory_overrides, find_in_pins, will_pin
from vendorsrv.check.policy import find_in_policy
from vendorsrv.check.sample import library_sections
from vendorsrv.check.tls import find_in_tls, readable_by_others
from vendorsrv.declarations import COMMON_OPTIONS
from vendorsrv.errors import ConfigError
from vendorsrv.facts.options import declared as options_of_facts
from vendorsrv.handler import defines_handle
from vendorsrv.handlers.registry import FoundHandler, build, find_clashes, find_enabled, read_options
from vendorsrv.peers.addresses import ANY_ADDRESS
from vendorsrv.proxy.handler import Proxy
from vendorsrv.proxy.options import find_exposed, is_loopback
from vendorsrv.settings import GROUP, SECTIONS, ConfigFiles, Problem, Settings, parse_into, read, read_handler
from vendorsrv.suggest import did_you_mean
from vendorsrv.telemetry.logs import quiet

if TYPE_CHECKING:
    from vendorsrv.check.nova import NovaConf

#: Seconds; the default of Nova's [api] vendordata_dynamic_read_timeout.
NOVA_READ_TIMEOUT: Final = 5.0
#: Bytes of the largest request that Nova can send, rounded up.
LARGEST_REQUEST: Final = 2**19
#: Seconds of a stop beside those that options set: the last request's, and the handlers' to close.
CLOSING: Final = 31.0
#: Seconds; the default of systemd's TimeoutStopSec, which the documented unit has too.
STOP_TIMEOUT: Final = 90.0
HANDLER: Final = "handler:"
PROXY: Final = "proxy:"


def find_all(config_file: ConfigFiles, nova_conf: str | Path | None = None, *, online: bool = False) -> list[Finding]:
    """Check a configuration, and Nova's side of it when its file is given.

    :param online: also ask Keystone, the database and the cache, if there are no errors.
    :returns: all findings, by file and line.
    :raises ConfigError: one of the files cannot be read.
    """
    ini = IniFile(config_file)
    nova = None
    if nova_conf:
        # It imports openstacksdk, which a starting server does not need.
        from vendorsrv.check.nova import NovaConf

        nova = NovaConf(nova_conf)
    with quiet():
        if ini.broken:
            return in_order(ini, ini.broken)
        check = Check(ini, nova)
        found = list(check.find())
        if online and not any(finding.severity == "error" for finding in found):
            # It imports SQLAlchemy, which a starting server may not need.
            from vendorsrv.check.online import find_online

            found += asyncio.run(find_online(ini, Settings.from_file(config_file), pins=bool(check.pinning)))
    return in_order(ini, found)


class StartCheck(NamedTuple):
    """What a server needs to know of its configuration before it starts.

    :ivar errors: the findings that prevent a start.
    :ivar pins: whether a handler pins its answers.
    """

    errors: list[Finding]
    pins: bool


def before_start(config_file: ConfigFiles) -> StartCheck:
    """Check a configuration as :func:`find_all` does, for a server that is about to start.

    :raises ConfigError: the file cannot be read.
    """
    ini = IniFile(config_file)
    with quiet():
        if ini.broken:
            return StartCheck(ini.broken, pins=False)
        check = Check(ini, None)
        errors = [finding for finding in check.find() if finding.severity == "error"]
    return StartCheck(in_order(ini, errors), bool(check.pinning))


def in_order(ini: IniFile, found: Iterable[Finding]) -> list[Finding]:
    """Return the findings once each, sorted by file and line, the server's own files first."""
    once = dict.fromkeys(found)
    order = [*ini.paths, *sorted({finding.file for finding in once} - {*ini.paths})]
    return sorted(once, key=lambda each: (order.index(each.file), each.line or 0))


class Check:
    """One check of a configuration file that oslo.config can parse."""

    def __init__(self, ini: IniFile, nova: NovaConf | None) -> None:
        self.ini = ini
        self.nova = nova
        # Without oslo.log's options: an invalid value of one of them ends the process.
        self.conf = cfg.ConfigOpts()
        parse_into(self.conf, ini.paths, GROUP)
        self.settings, self.problems = Settings.usable(self.conf)
        self.handlers, self.not_loaded = find_enabled(self.settings)
        self.pinning: list[str] = []

    def find(self) -> Iterator[Finding]:
        sections = self.declared()
        yield from self.ini.find_unknown(sections)
        yield from self.find_unknown_sections(sections)
        yield from self.find_readable(sections)
        for section in ("DEFAULT", "oslo_policy"):
            self.problems += read(self.conf, section, sections[section])[1]
        self.problems += find_problems(self.conf)
        self.problems += find_fact_problems(self.conf, self.settings, self.handlers)
        yield from self.located(self.problems)
        yield from self.find_in_cache()
        yield from self.find_in_handlers()
        yield from self.find_in_limits()
        yield from self.find_in_admin()
        yield from find_in_files(self.ini, self.settings)
        yield from find_in_pins(self.ini, self.settings, self.pinning)
        yield from find_in_lifecycle(self.ini, self.conf, self.handlers, self.nova.ini if self.nova else None)
        account = read(self.conf, AUTHTOKEN, sections[AUTHTOKEN])[0]
        yield from find_in_connections(self.ini, self.settings, AUTHTOKEN, account)
        tls = list(find_in_tls(self.ini, self.settings))
        yield from tls
        names = [each.handler.name for each in self.handlers]
        yield from find_in_policy(self.ini, self.conf, names, self.nova.ini if self.nova else None)
        if self.nova:
            usable = not any(finding.severity == "error" for finding in tls)
            yield from self.nova.find(
                self.settings, names, usable_tls=usable, for_cloud_init=self.names_for_cloud_init()
            )

    def names_for_cloud_init(self) -> list[str]:
        """Return the names of the handlers whose answers are for cloud-init."""
        return [
            each.handler.name
            for each in self.handlers
            if not defines_handle(each.handler)
            or read_handler(self.conf, each.handler)[1].get("for_cloud_init", each.handler.for_cloud_init)
        ]

    def declared(self) -> Declared:
        """Return the options of every known section."""
        sections: dict[str, Sequence[cfg.Opt]] = {**library_sections(), **SECTIONS, **declared(self.conf)}
        sections |= {**options_of_facts(self.conf), **options_of_lifecycle(self.ini.sections)}
        for each in self.handlers:
            sections[each.handler.section] = [*each.handler.options, *COMMON_OPTIONS]
        for each in self.handlers:
            if self.has_account(each):
                for section, options in account_options(self.conf, each.handler.section).items():
                    sections[section] = [*sections.get(section, ()), *options]
        return sections

    def has_account(self, found: FoundHandler) -> bool:
        """Whether this handler sends tokens of vendorsrv's own account."""
        values = read_handler(self.conf, found.handler)[0]
        return issubclass(found.handler, Proxy) and getattr(values, "auth", None) == "service"

    def find_unknown_sections(self, sections: Declared) -> Iterator[Finding]:
        enabled = [each.handler.name for each in self.handlers]
        for section in self.ini.sections:
            if section in sections:
                continue
            if section.startswith(PROXY):
                continue  # it could not be enabled, and another finding says why
            if section.startswith(HANDLER):
                name = section.removeprefix(HANDLER)
                hint = did_you_mean(name, enabled)
                yield self.ini.warning(f"no handler {name} is enabled{hint}", section)
            elif hint := did_you_mean(section, sections):
                yield self.ini.error(f"there is no such section{hint}", section)
            else:
                yield self.ini.warning("unknown section, which is ignored", section)

    def find_readable(self, sections: Declared) -> Iterator[Finding]:
        """Yield a warning when the file contains secrets and every user can read it."""
        secrets = [(section, option.dest) for section, each in sections.items() for option in each if option.secret]
        held = [place for place in secrets if place in self.ini.options]
        for path in filter(readable_by_others, self.ini.paths):
            there = [place for place in held if self.ini.files[place] == path]
            if there:
                section, option = min(there, key=self.ini.options.__getitem__)
                reason = "this file contains a secret, and every user of this machine can read it"
                yield self.ini.warning(reason, section, option)

    def located(self, problems: Iterable[Problem]) -> Iterator[Finding]:
        for problem in problems:
            yield self.ini.error(problem.message, problem.section, problem.option)

    def find_in_cache(self) -> Iterator[Finding]:
        problems = find_cache_problems(self.conf)
        yield from self.located(problems)
        if problems:
            return
        try:
            build_cache(self.conf, self.settings.cache_max_bytes)
        except ConfigError as error:
            yield self.ini.error(str(error).removeprefix("[cache] "), "cache")
        if is_shared(self.conf) and not self.settings.encryption_keys:
            reason = "without [pins] encryption_keys, whoever can write to it decides what instances run as root"
            yield self.ini.warning(reason, "cache", "backend")

    def find_in_handlers(self) -> Iterator[Finding]:
        for problem in self.not_loaded:
            yield self.ini.error(problem, GROUP, "handlers")
        if not (self.handlers or self.not_loaded):
            yield self.ini.warning("no handler is enabled; there is nothing to serve", GROUP, "handlers")
        for clash in find_clashes([each.handler for each in self.handlers]):
            yield self.ini.error(clash, GROUP, "handlers")
        for found in self.handlers:
            values, overrides, problems = read_options(self.conf, found.handler)
            yield from self.located(problems)
            if issubclass(found.handler, Proxy):
                for reason in find_exposed(values):
                    yield self.ini.warning(reason, found.handler.section, "url")
            timeout = ("timeout", overrides.get("timeout", found.handler.timeout))
            yield from self.find_in_timeout(found.handler.section, *timeout)
            if will_pin(found.handler, overrides):
                self.pinning.append(found.handler.name)
            contradictions = list(find_contradictory_overrides(self.ini, found.handler, overrides))
            yield from contradictions
            if not problems and not contradictions:
                yield from self.try_to_build(found)

    def try_to_build(self, found: FoundHandler) -> Iterator[Finding]:
        try:
            build(self.settings, found)
        except ConfigError as error:
            yield self.ini.error(str(error), GROUP, "handlers")

    def find_in_timeout(self, section: str, option: str, seconds: float) -> Iterator[Finding]:
        """Compare a handler's timeout, or the whole request's, with Nova's."""
        limit = (self.nova and self.nova.read_timeout) or NOVA_READ_TIMEOUT
        if seconds >= limit:
            novas = f"Nova's read timeout ({limit:g} s{'' if self.nova else ' by default'})"
            reason = f"{seconds:g} s must be less than {novas}"
            yield self.ini.finding("error" if self.nova else "warning", reason, section, option)
        elif option == "timeout":
            yield from self.find_longer_than_request(section, option, seconds)

    def find_longer_than_request(self, section: str, option: str, seconds: float) -> Iterator[Finding]:
        """Compare the timeout of a part of a request with that of the whole request."""
        if seconds >= self.settings.request_timeout:
            reason = f"{seconds:g} s must be less than request_timeout ({self.settings.request_timeout:g} s)"
            yield self.ini.warning(reason, section, option)

    def find_in_limits(self) -> Iterator[Finding]:
        if not self.nova:  # the check of nova.conf compares it as well
            yield from self.find_in_timeout(GROUP, "request_timeout", self.settings.request_timeout)
        yield from self.find_longer_than_request(GROUP, "auth_timeout", self.settings.auth_timeout)
        yield from self.find_longer_than_request(GROUP, "body_timeout", self.settings.body_timeout)
        if self.settings.max_body_bytes < LARGEST_REQUEST:
            reason = f"Nova's requests can have up to {LARGEST_REQUEST} bytes"
            yield self.ini.warning(reason, GROUP, "max_body_bytes")
        yield from self.find_in_stop()

    def find_in_stop(self) -> Iterator[Finding]:
        """Compare the seconds of a stop with a request's, and with those after which systemd kills the server."""
        if self.settings.shutdown_timeout < self.settings.request_timeout:
            ours = f"less than request_timeout ({self.settings.request_timeout:g} s)"
            reason = f"{self.settings.shutdown_timeout:g} s is {ours}: a stop or reload cuts off requests in progress"
            yield self.ini.warning(reason, GROUP, "shutdown_timeout")
        seconds = self.settings.drain_seconds + self.settings.shutdown_timeout + CLOSING
        if seconds >= STOP_TIMEOUT:
            option = "drain_seconds" if self.settings.drain_seconds else "shutdown_timeout"
            reason = f"a stop can take {seconds:g} s; systemd kills the server after {STOP_TIMEOUT:g} s"
            yield self.ini.warning(reason, GROUP, option)

    def find_in_admin(self) -> Iterator[Finding]:
        """Yield what is wrong with the address of the server's own pages, unless they are turned off."""
        host, port = self.settings.admin_host, self.settings.admin_port
        if port is None:
            return
        same_host = host == self.settings.host or ANY_ADDRESS & {host, self.settings.host}
        if port and port == self.settings.port and same_host:
            yield self.ini.error(f"port is {port} too; metrics need a port of their own", GROUP, "admin_port")
        if not is_loopback(host):
            reason = "metrics have no token and no TLS; let only Prometheus reach it"
            yield self.ini.warning(reason, GROUP, "admin_host")
