"""All options of the server in one table: oslo.config in, frozen values out."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from oslo_config import cfg
from oslo_log import log

from vendorsrv.errors import ConfigError
from vendorsrv.handler import COMMON_OPTIONS, Handler, OnError

GROUP: Final = "vendorsrv"

#: Where ``serve`` puts the path for its workers, which are spawned and inherit nothing else.
CONFIG_FILE_VARIABLE: Final = "VENDORSRV_CONFIG_FILE"
#: The directory in which its workers count together.
METRICS_VARIABLE: Final = "VENDORSRV_METRICS_DIRECTORY"
#: uvicorn's exit code for a worker that must not be started again.
STARTUP_FAILURE: Final = 3


def default_state_path() -> str:
    """Give the usual place for a service's state, or that of a user who tries vendorsrv out (XDG)."""
    if os.geteuid() == 0:
        return "/var/lib/vendorsrv"
    return str(Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "vendorsrv")


OPTIONS: Final = (
    cfg.HostAddressOpt("host", default="127.0.0.1", help="Address to listen on."),
    cfg.PortOpt("port", default=9090, help="TCP port to listen on; 0 takes a free one."),
    cfg.IntOpt("workers", default=1, min=1, help="Processes that serve; one for each core is plenty."),
    cfg.ListOpt(
        "handlers",
        default=[],
        help="Handlers to serve, in order: names of entry points in the group vendorsrv.handlers, or module:Class.",
    ),
    cfg.StrOpt("cert_file", help="PEM certificate (chain) of the server; turns TLS on."),
    cfg.StrOpt("key_file", help="PEM private key of cert_file; only the server's user should be able to read it."),
    cfg.StrOpt("ca_file", help="PEM certificates; clients must then show a certificate that one of them signed."),
    cfg.IntOpt("max_body_bytes", default=2**20, min=1024, help="Largest request; legal ones reach half a megabyte."),
    cfg.IntOpt("max_answer_bytes", default=2**20, min=2, help="Largest answer of one handler."),
    cfg.FloatOpt(
        "request_timeout",
        default=4.5,
        min=0.1,
        help="Seconds for one request, Keystone's share included. Must be below Nova's "
        "[api] vendordata_dynamic_read_timeout (5), or Nova gives up first and the instance gets nothing.",
    ),
    cfg.FloatOpt("auth_timeout", default=3.0, min=0.1, help="Seconds of a request that Keystone may take."),
    cfg.FloatOpt("body_timeout", default=2.0, min=0.1, help="Seconds of a request that its body may take to arrive."),
    cfg.IntOpt("auth_threads", default=8, min=1, help="Tokens that a worker validates at the same time."),
    cfg.FloatOpt(
        "invalid_token_cache_time",
        default=10.0,
        min=0.0,
        help="Seconds for which a token that Keystone refused is refused without asking again.",
    ),
    cfg.IntOpt(
        "cache_max_bytes",
        default=64 * 2**20,
        min=0,
        help="What the answers that a worker keeps in its memory may take; [cache] can share them instead.",
    ),
    cfg.StrOpt(
        "state_path",
        default=default_state_path(),
        sample_default="/var/lib/vendorsrv",
        help="Directory for pins.db, the pins' SQLite file, when [database] connection names no other store.",
    ),
    cfg.FloatOpt("shutdown_timeout", default=5.0, min=0.0, help="Seconds to finish begun requests when stopping."),
)

DATABASE_OPTIONS: Final = (
    cfg.StrOpt(
        "connection",
        secret=True,
        help="Database URL of the pins: sqlite:///, postgresql:// or mysql+pymysql://; default: SQLite in state_path.",
    ),
)
PINS_OPTIONS: Final = (
    cfg.ListOpt(
        "encryption_keys",
        default=[],
        secret=True,
        help="Fernet keys, newest first: pinned answers are encrypted with the first and read with any.",
    ),
    cfg.IntOpt("purge_after", min=1, help="Days after which a pin is deleted, whether its instance lives or not."),
)
CLOUD_INIT_OPTIONS: Final = (
    cfg.ListOpt(
        "include_hosts",
        default=[],
        help="Hosts that an #include in an answer for cloud-init may name; an instance that cannot reach its host "
        "loses its user-data.",
    ),
)

#: What :class:`Settings` is read from.
SECTIONS: Final = {
    GROUP: OPTIONS,
    "database": DATABASE_OPTIONS,
    "pins": PINS_OPTIONS,
    "cloud_init": CLOUD_INIT_OPTIONS,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the options in :data:`SECTIONS`, which explain them, and the configuration they are from.

    Durations are seconds, sizes are bytes.
    """

    conf: cfg.ConfigOpts
    host: str
    port: int
    workers: int
    handlers: Sequence[str]
    cert_file: str | None
    key_file: str | None
    ca_file: str | None
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
    database: str = field(repr=False)
    encryption_keys: Sequence[str] = field(repr=False)
    purge_after: int | None
    include_hosts: Sequence[str]

    @classmethod
    def from_file(cls, path: str | Path) -> Settings:
        """Read a configuration file; environment variables (``OS_VENDORSRV__PORT``) override it, as in oslo.config.

        :raises ConfigError: the file cannot be read, or some of its values are wrong; names all of them.
        """
        return cls.from_config(open_config(path))

    @classmethod
    def from_config(cls, conf: cfg.ConfigOpts) -> Settings:
        """Freeze the values of an open configuration.

        :raises ConfigError: names every value that is wrong.
        """
        settings, problems = cls.as_far_as_usable(conf)
        if problems:
            raise ConfigError("\n".join(map(str, problems)))
        return settings

    @classmethod
    def as_far_as_usable(cls, conf: cfg.ConfigOpts) -> tuple[Settings, list[Problem]]:
        """Freeze the values of an open configuration; for each that is wrong its default stands in."""
        values: dict[str, Any] = {}
        problems = []
        for section, options in SECTIONS.items():
            values |= {option.dest: option.default for option in options}
            found, wrong = read(conf, section, options)
            values |= found
            problems += wrong
        values["handlers"] = tuple(values["handlers"])
        values["database"] = values.pop("connection") or f"sqlite:///{Path(values['state_path']) / 'pins.db'}"
        return cls(conf=conf, **values), problems


def open_config(path: str | Path) -> cfg.ConfigOpts:
    """Parse a configuration file into a private ConfigOpts; nothing is read from it yet.

    :raises ConfigError: the file does not exist, may not be read, or is no INI file.
    """
    conf = cfg.ConfigOpts()
    conf.register_opts(OPTIONS, group=GROUP)
    log.register_options(conf)
    parse_into(conf, path, GROUP)
    return conf


def parse_into(conf: cfg.ConfigOpts, path: str | Path, project: str) -> None:
    """Parse one file, and none of the standard places, into a ConfigOpts.

    :param project: what oslo.config calls the program.
    :raises ConfigError: the file does not exist, may not be read, or is no INI file; names the line, and does
        not quote it, since it may hold a password.
    """
    try:
        conf(args=[], project=project, default_config_files=[str(path)], default_config_dirs=[])
    except cfg.ConfigFileParseError as error:
        line = getattr(error.__context__, "lineno", "?")
        raise ConfigError(f"{path}: line {line} is neither a section nor an option") from None
    except (cfg.ConfigFilesNotFoundError, cfg.ConfigFilesPermissionDeniedError, OSError):
        raise ConfigError(f"{path} does not exist or cannot be read") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file in UTF-8") from None


class Problem(NamedTuple):
    """What is wrong with one option, in words that hold no secret."""

    section: str
    option: str
    message: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.option}: {self.message}"


def read(conf: cfg.ConfigOpts, group: str, options: Iterable[cfg.Opt]) -> tuple[dict[str, Any], list[Problem]]:
    """Read every one of some options, so that a bad value shows now and not when it is first used.

    :returns: the values that could be read, by name; and what is wrong with each that could not.
    """
    values: dict[str, Any] = {}
    problems = []
    for option in options:
        conf.register_opt(option, group=group)
        try:
            values[option.dest] = conf[group][option.dest]
        except ValueError as error:
            # The reason quotes the value.
            reason = "not a valid value" if option.secret else str(error).rpartition(" is not valid: ")[2]
            problems.append(Problem(group, option.dest, reason))
        except (cfg.NoSuchOptError, cfg.TemplateSubstitutionError):
            # Their text quotes what follows the $, which may be half a password.
            problems.append(Problem(group, option.dest, "contains an unescaped $; write $$"))
        else:
            value = values[option.dest]
            if option.required and value is None:
                problems.append(Problem(group, option.dest, f"required; {option.help or 'it has no default'}"))
            elif isinstance(value, float) and not math.isfinite(value):  # which passes every min and max
                problems.append(Problem(group, option.dest, "must be a finite number"))
    return values, problems


def read_handler(conf: cfg.ConfigOpts, handler: type[Handler]) -> tuple[Any, Mapping[str, Any], list[Problem]]:
    """Read a handler's section, ``[handler:<name>]`` as a rule.

    :returns: the vendor's options as an object with frozen attributes; what the operator overrides of the class's
        own declarations; and what is wrong with each option that cannot be used.
    """
    group = handler.section
    values, problems = read(conf, group, handler.options)
    common, common_problems = read(conf, group, COMMON_OPTIONS)
    # No repr: options may be secrets, and settings end up in log lines.
    frozen = make_dataclass("HandlerSettings", values, frozen=True, repr=False)
    overrides = {name: value for name, value in common.items() if value is not None}
    if "on_error" in overrides:
        overrides["on_error"] = OnError(overrides["on_error"])
    return frozen(**values), overrides, problems + common_problems
