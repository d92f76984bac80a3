"""Findings of a check, and the places in INI files that they are about."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from oslo_config import cfg
from oslo_config.iniparser import BaseParser, ParseError

from vendorsrv.errors import ConfigError
from vendorsrv.settings import ConfigFiles, files_of
from vendorsrv.suggest import did_you_mean

Severity = Literal["error", "warning", "note"]
#: The options that each section can have.
Declared = Mapping[str, Sequence[cfg.Opt]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a configuration, or soon will be; its text contains no secret.

    :ivar severity: an error cannot work, a warning costs something, and a note may be right elsewhere.
    :ivar line: counted from 1; None when the finding is about no single line, or about an environment variable.
    """

    severity: Severity
    file: str
    line: int | None
    section: str | None
    option: str | None
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        section = f"[{self.section}] " if self.section else ""
        option = f"{self.option}: " if self.option else ""
        text = " ".join(f"{where}: {self.severity}: {section}{option}{self.message}".split())
        return "".join(letter if letter.isprintable() else "?" for letter in text)


class IniFile(BaseParser):
    """The line numbers of INI files, read with oslo.config's own parser, which does not keep them.

    :ivar paths: of the files, of which the later ones override the earlier ones.
    :ivar path: the last one.
    :ivar sections: the first line of each section, by its name as oslo.config compares it.
    :ivar options: the lines of each option in the last file that has it, by section and name; the last one is used.
    :ivar values: its last value.
    :ivar files: the file of each option, and of each section, whose option is empty then.
    :ivar broken: an error for each line that is neither; oslo.config rejects such a file as a whole.
    :raises ConfigError: a file cannot be read.
    """

    def __init__(self, path: ConfigFiles) -> None:
        self.paths = files_of(path)
        self.sections: dict[str, int] = {}
        self.options: dict[tuple[str, str], list[int]] = {}
        self.values: dict[tuple[str, str], str] = {}
        self.files: dict[tuple[str, str], str] = {}
        self.broken: list[Finding] = []
        for each in self.paths:
            self.read(each)

    def read(self, path: str) -> None:
        self.path, self.section, self.lineno = path, "", 0
        try:
            with open(path) as file:
                # The empty line ends the last value, so that every value ends before the current line.
                lines = iter([*file.readlines(), ""])
        except UnicodeDecodeError:
            raise ConfigError(f"{path} is not a text file in UTF-8") from None
        except OSError:
            raise ConfigError(f"{path} does not exist or cannot be read") from None
        self.parse_all(lines)

    def parse_all(self, lines: Iterator[str]) -> None:
        """Parse to the end, past the lines at which oslo.config's parser stops."""
        while True:
            try:
                return self.parse(lines)
            except ParseError as error:
                self.note_broken(error.lineno, "this line is neither a section nor an option")

    def note_broken(self, line: int, message: str) -> None:
        self.broken.append(Finding("error", self.path, line, None, None, message))

    def new_section(self, section: str) -> None:
        """Note a section; called by the parser."""
        self.section = section if section == "DEFAULT" else section.lower()
        if self.sections.setdefault(self.section, self.lineno) == self.lineno:
            self.files.setdefault((self.section, ""), self.path)

    def assignment(self, key: str, value: list[str]) -> None:
        """Note an option; called by the parser at the line after its value."""
        line = self.lineno - len(value)
        if self.section:
            place = self.section, key
            if self.files.get(place) != self.path:
                self.options[place] = []
            self.files[place] = self.path
            self.options[place].append(line)
            self.values[place] = "\n".join(value)
        else:
            self.note_broken(line, "this option is before the first section")

    def error(self, message: str, section: str | None = None, option: str | None = None) -> Finding:
        return self.finding("error", message, section, option)

    def warning(self, message: str, section: str | None = None, option: str | None = None) -> Finding:
        return self.finding("warning", message, section, option)

    def note(self, message: str, section: str | None = None, option: str | None = None) -> Finding:
        return self.finding("note", message, section, option)

    def finding(self, severity: Severity, message: str, section: str | None, option: str | None) -> Finding:
        """Return a finding about a section or one of its options."""
        variable = f"OS_{section}__{option}".upper()
        line = None if section is None else self.sections.get(section)
        path = self.files.get((section or "", ""), self.path)
        if section and option and (section, option) in self.options:
            line, path = self.options[section, option][-1], self.files[section, option]
        if variable in os.environ:
            line, message = None, f"{message} (set by {variable})"
        return Finding(severity, path, line, section, option, message)

    def find_unknown(self, declared: Declared) -> Iterator[Finding]:
        """Yield a finding for each unknown option of the declared sections, and for each option that is set twice."""
        options = {(section, option.dest): option for section, each in declared.items() for option in each}
        accepted = {*options, *old_names(declared)}
        for (section, name), lines in self.options.items():
            option = options.get((section, name))
            if section not in declared:
                continue
            if (section, name) not in accepted:
                yield self.error(f"there is no such option{better_place(section, name, accepted)}", section, name)
            elif len(lines) > 1 and not (option and option.multi):
                before = ", ".join(map(str, lines[:-1]))
                yield self.warning(f"also set in line {before}; this line overrides it", section, name)


def old_names(declared: Declared) -> Iterator[tuple[str, str]]:
    for section, options in declared.items():
        for option in options:
            for old in option.deprecated_opts:
                yield old.group or section, old.name or option.dest


def better_place(section: str, name: str, accepted: Iterable[tuple[str, str]]) -> str:
    elsewhere = sorted(where for where, option in accepted if option == name)
    if elsewhere:
        return f"; it belongs in [{elsewhere[0]}]"
    return did_you_mean(name, [option for where, option in accepted if where == section])
