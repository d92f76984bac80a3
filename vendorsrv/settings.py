"""The options of the server, read by oslo.config into frozen values."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from oslo_config import cfg
from oslo_log import log

from vendorsrv.declarations import COMMON_OPTIONS, OnError
from vendorsrv.errors import ConfigError
from vendorsrv.handler import Handler
from vendorsrv.peers.addresses import Network, parse_network

GROUP: Final = "vendorsrv"
#: One file, or several of which the later ones override the earlier ones.
ConfigFiles = str | Path | Sequence[str | Path]
#: The environment variable with the paths of the configuration, for the workers, a line each.
CONFIG_FILE_VARIABLE: Final = "VENDORSRV_CONFIG_FILE"
#: The environment variable with the directory of the workers' metrics.
METRICS_VARIABLE: Final = "VENDORSRV_METRICS_DIRECTORY"
#: uvicorn's exit code for a worker that must not be restarted.
STARTUP_FAILURE: Final = 3


def default_state_path() -> str:
    """Return the system's directory for root, and the user's own for others (XDG)."""
    own = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vendorsrv"
    return "/var/lib/vendorsrv" if os.geteuid() == 0 else str(own)


OPTIONS: Final = (
    cfg.HostAddressOpt("host", default="127.0.0.1", help="Address to listen on."),
    cfg.PortOpt("port", default=9090, help="TCP port to listen on; 0 picks a free one."),
    cfg.HostAddressOpt("admin_host", default="127.0.0.1", help="Address for metrics and API documentation; no TLS."),
    cfg.PortOpt("admin_port", default=9091, help="TCP port for metrics and API documentation; empty turns them off."),
    cfg.ListOpt(
        "trusted_proxies",
        item_type=parse_network,  # type: ignore[arg-type] # any function of a text will do
        default=[],
        help="Addresses and networks of load balancers, which name the peer by the PROXY protocol or a header.",
    ),
    cfg.IntOpt("workers", default=1, min=1, help="Worker processes; more than one for each core gains nothing."),
    cfg.ListOpt(
        "handlers",
        default=[],
        help="Handlers to serve, in order: names of entry points in the group vendorsrv.handlers, or module:Class.",
    ),
    cfg.StrOpt("cert_file", help="PEM file with the server's certificate and its chain; turns TLS on."),
    cfg.StrOpt(
        "key_file", help="PEM file with the private key of cert_file; make it readable by the server's user only."
    ),
    cfg.StrOpt(
        "ca_file", help="PEM file with CA certificates; clients must then present a certificate signed by one of them."
    ),
    cfg.IntOpt("max_connections", default=3072, min=2, help="Connections of a worker; at most 3/4 of its open files."),
    cfg.IntOpt(
        "max_connections_per_peer", default=256, min=1, help="Connections of one address (IPv6: /64) to a worker."
    ),
    cfg.IntOpt(
        "max_body_bytes", default=2**20, min=1024, help="Maximum request size in bytes; Nova sends up to about 0.5 MB."
    ),
    cfg.IntOpt("max_answer_bytes", default=2**20, min=2, help="Maximum size of one handler's answer in bytes."),
    cfg.FloatOpt(
        "request_timeout",
        default=4.5,
        min=0.1,
        help="Seconds for one request, token validation included. Must be shorter than Nova's "
        "[api] vendordata_dynamic_read_timeout (5), or Nova gives up first.",
    ),
    cfg.FloatOpt("auth_timeout", default=3.0, min=0.1, help="Seconds of a request for the validation of its token."),
    cfg.FloatOpt("body_timeout", default=2.0, min=0.1, help="Seconds of a request for its body to arrive."),
    cfg.IntOpt("auth_threads", default=8, min=1, help="Tokens that a worker validates at once."),
    cfg.FloatOpt(
        "invalid_token_cache_time",
        default=10.0,
        min=0.0,
        help="Seconds for which a refused token is refused again without a call to Keystone.",
    ),
    cfg.IntOpt(
        "cache_max_bytes",
        default=64 * 2**20,
        min=0,
        help="Maximum bytes of cached answers in a worker's memory; [cache] can share them between workers instead.",
    ),
    cfg.StrOpt(
        "state_path",
        default=default_state_path(),
        sample_default="/var/lib/vendorsrv",
        help="Directory of pins.db, the SQLite file of the pins, unless [database] connection is set.",
    ),
    cfg.FloatOpt("shutdown_timeout", default=5.0, min=0.0, help="Seconds for requests in progress to end at a stop."),
    cfg.FloatOpt(
        "drain_seconds",
        default=0.0,
        min=0.0,
        help="Seconds after SIGTERM for which all is still served while /-/ready answers 503, so that load balancers "
        "send requests elsewhere before the server stops.",
    ),
    cfg.BoolOpt("verify", default=False, help="All handlers run only for instances that exist at Nova."),
    cfg.StrOpt("disable_by_file_path", help="/-/ready answers 503 while this file exists, and all is still served."),
)

#: The sections that :class:`Settings` is read from.
SECTIONS: Final = {
    GROUP: OPTIONS,
    "database": (
        cfg.StrOpt(
            "connection",
            secret=True,
            help="URL of the pins' database: sqlite:///, postgresql:// or mysql+pymysql://. "
            "Default: SQLite in state_path.",
        ),
    ),
    "pins": (
        cfg.ListOpt(
            "encryption_keys",
            default=[],
            secret=True,
            help="Fernet keys, newest first: pins and the shared cache are encrypted with the first, decrypted by any.",
        ),
        cfg.BoolOpt("allow_plain", default=False, help="Read unencrypted pins in spite of the keys, for a migration."),
        cfg.IntOpt("purge_after", min=1, help="Days after which a pin is deleted, even if its instance still exists."),
    ),
    "cloud_init": (
        cfg.ListOpt(
            "include_hosts",
            default=[],
            help="Hosts that an #include for cloud-init may name. "
            "An instance that cannot reach one loses its user-data.",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the options in :data:`SECTIONS`, which document them, and their configuration.

    Durations are seconds, sizes are bytes.
    """

    conf: cfg.ConfigOpts
    host: str
    port: int
    admin_host: str
    admin_port: int | None
    trusted_proxies: Sequence[Network]
    workers: int
    handlers: Sequence[str]
    cert_file: str | None
    key_file: str | None
    ca_file: str | None
    max_connections: int
    max_connections_per_peer: int
    max_body_bytes: int
    max_answer_bytes: int
    request_timeout: float
    auth_timeout: float
    body_timeout: float
    auth_threads: int
    invalid_token_cache_time: float
    cache_max_bytes: int
    state_path: str
    shutdown_timeout: float
    drain_seconds: float
    verify: bool
    disable_by_file_path: str | None
    database: str = field(repr=False)
    encryption_keys: Sequence[str] = field(repr=False)
    allow_plain: bool
    purge_after: int | None
    include_hosts: Sequence[str]

    @classmethod
    def from_file(cls, path: ConfigFiles) -> Settings:
        """Read a configuration; environment variables (``OS_VENDORSRV__PORT``) override it, as in oslo.config.

        :raises ConfigError: the file cannot be read, or some of its values are wrong; the text names all of them.
        """
        return cls.from_config(open_config(path))

    @classmethod
    def from_config(cls, conf: cfg.ConfigOpts) -> Settings:
        """Freeze the values of an open configuration.

        :raises ConfigError: some values are wrong; the text names all of them.
        """
        settings, problems = cls.usable(conf)
        if problems:
            raise ConfigError("\n".join(map(str, problems)))
        return settings

    @classmethod
    def usable(cls, conf: cfg.ConfigOpts) -> tuple[Settings, list[Problem]]:
        """Freeze the values of an open configuration, with the default in place of each wrong one."""
        values: dict[str, Any] = {}
        problems = []
        for section, options in SECTIONS.items():
            values |= {option.dest: option.default for option in options}
            found, wrong = read(conf, section, options)
            values |= found
            problems += wrong
        values |= {name: tuple(values[name]) for name in ("handlers", "trusted_proxies")}
        values["database"] = values.pop("connection") or f"sqlite:///{Path(values['state_path']) / 'pins.db'}"
        return cls(conf=conf, **values), problems


def files_of(path: ConfigFiles) -> list[str]:
    """Return the paths of a configuration, the one that overrides the others last."""
    return [str(path)] if isinstance(path, str | Path) else list(map(str, path))


def open_config(path: ConfigFiles) -> cfg.ConfigOpts:
    """Parse a configuration as :func:`parse_into` does, into a private ConfigOpts; no option is read yet."""
    conf = cfg.ConfigOpts()
    conf.register_opts(OPTIONS, group=GROUP)
    log.register_options(conf)
    parse_into(conf, path, GROUP)
    return conf


def parse_into(conf: cfg.ConfigOpts, path: ConfigFiles, project: str) -> None:
    """Parse files into a ConfigOpts, without oslo.config's default files.

    :param project: the program's name for oslo.config.
    :raises ConfigError: a file does not exist, cannot be read, or is not an INI file; the text names the line and
        does not quote it, since it may contain a password.
    """
    files = files_of(path)
    try:
        conf(args=[], project=project, default_config_files=files, default_config_dirs=[])
    except cfg.ConfigFileParseError as error:
        place = f"{error.config_file}: line {getattr(error.__context__, 'lineno', '?')}"
        raise ConfigError(f"{place} is neither a section nor an option") from None
    except (cfg.ConfigFilesNotFoundError, cfg.ConfigFilesPermissionDeniedError, OSError) as error:
        raise ConfigError(f"{getattr(error, 'config_files', files)[0]} does not exist or cannot be read") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{' '.join(files)} is not a text file in UTF-8") from None


class Problem(NamedTuple):
    """What is wrong with one option, without its value, which may be a secret."""

    section: str
    option: str
    message: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.option}: {self.message}"


#: What oslo.config raises when a value refers to another option that it cannot find, or to itself.
UNRESOLVED: Final = (cfg.NoSuchOptError, cfg.NoSuchGroupError, cfg.TemplateSubstitutionError, RecursionError)


def read(conf: cfg.ConfigOpts, group: str, options: Iterable[cfg.Opt]) -> tuple[dict[str, Any], list[Problem]]:
    """Register and read options, so that a bad value is found now and not when it is first used.

    :returns: the usable values by name, and a problem for each of the others.
    """
    values: dict[str, Any] = {}
    problems = []
    for option in options:
        conf.register_opt(option, group=group)
        try:
            value = values[option.dest] = conf[group][option.dest]
        except ValueError as error:
            # oslo.config's reason quotes the value.
            reason = "not a valid value" if option.secret else str(error).rpartition(" is not valid: ")[2]
            problems.append(Problem(group, option.dest, reason))
        except UNRESOLVED:
            # Their text quotes what follows the $, which may be part of a password.
            problems.append(Problem(group, option.dest, "contains an unescaped $; write $$"))
        else:
            if option.required and value is None:
                problems.append(Problem(group, option.dest, f"required; {option.help or 'it has no default'}"))
            elif isinstance(value, float) and not math.isfinite(value):  # which passes every min and max
                problems.append(Problem(group, option.dest, "must be a finite number"))
    return values, problems


def read_handler(conf: cfg.ConfigOpts, handler: type[Handler]) -> tuple[Any, Mapping[str, Any], list[Problem]]:
    """Read a handler's section.

    :returns: the options of the handler's class as an object with frozen attributes, the declarations of the class that
        the operator overrides, and what is wrong with each unusable option.
    """
    values, problems = read(conf, handler.section, handler.options)
    common, common_problems = read(conf, handler.section, COMMON_OPTIONS)
    # No repr: options may be secrets, and a settings object may be logged.
    frozen = make_dataclass("HandlerSettings", values, frozen=True, repr=False)
    given = ((name, value) for name, value in common.items() if value is not None)
    overrides = {name: OnError(value) if name == "on_error" else value for name, value in given}
    return frozen(**values), overrides, problems + common_problems
