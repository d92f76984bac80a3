"""The documentation is complete and correct; a failing test names what is missing or wrong."""

from __future__ import annotations

import ast
import configparser
import json
import re
import runpy
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import yaml
from oslo_config import cfg

import vendorsrv
from tests.support.pages import (
    PAGES,
    ROOT,
    Block,
    all_blocks,
    anchors,
    blocks,
    code,
    links,
    page,
    prose,
    rows,
    section,
    shown,
)
from tests.test_layers import ROW
from vendorsrv import errors
from vendorsrv.auth.policy import Policy
from vendorsrv.check.run import find_all
from vendorsrv.cli.main import COMMANDS, Commands
from vendorsrv.declarations import COMMON_OPTIONS
from vendorsrv.handler import Handler
from vendorsrv.proxy.options import PROXY_OPTIONS
from vendorsrv.settings import SECTIONS, open_config

PRODUCT = ROOT / "vendorsrv"
ERRORS = [each for each in errors.all_errors() if each is not errors.VendordataError]
#: Stands for the messages of handlers, which their authors document.
STAND_INS = {"any other"}


def strings(tree: ast.AST) -> Iterator[str]:
    """The string literals below a node; what is computed in an f-string is `…`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@cache
def literals() -> list[str]:
    """Every string literal of the product."""
    return [text for path in sorted(PRODUCT.rglob("*.py")) for text in strings(ast.parse(path.read_text()))]


def messages() -> list[str]:
    """The messages of the product's own errors, as they are written where the errors are created."""
    names = {"StrictJSONError", *(error.__name__ for error in ERRORS)}
    found = []
    for path in sorted(PRODUCT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names and node.args:
                found += list(strings(node.args[0]))[:1]
    return sorted({text for text in found if not text.endswith(" …")})


def documented_messages() -> list[str]:
    """The messages in the tables of errors.md."""
    cells = [row[0] for row in rows(section(page("errors"), "## Causes and cures"))]
    return [code(cell) for cell in cells if cell not in STAND_INS]


def documented_options(heading: str) -> dict[str, str]:
    """The options of a section of configuration.md, with their defaults."""
    return {code(row[0]): code(row[1]) for row in rows(section(page("configuration"), heading))}


def default_of(option: cfg.Opt) -> str:
    """An option's default as configuration.md has it."""
    default = option.sample_default or option.default
    return str(default) if default else "none"


def commands(language: str) -> list[tuple[Block, list[str]]]:
    """The words of each `vendorsrv` or `make` command in the blocks of a language."""
    lines = [(block, line) for block in all_blocks(language) for line in block.text.splitlines()]
    words = [(block, line.partition("  #")[0].removeprefix("$ ").split()) for block, line in lines]
    bare = [(block, [word for word in each if not re.match(r"[A-Z_]+=", word)] or [""]) for block, each in words]
    return [(block, each) for block, each in bare if Path(each[0]).name in {"vendorsrv", "make"}]


def complete_config(block: Block, directory: Path) -> Path:
    """Write a block that is a whole configuration to a file."""
    path = directory / (Path(block.name).name or "vendorsrv.conf")
    path.touch(0o600)
    path.write_text(block.text)
    return path


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_in_the_table(error: type[errors.VendordataError]) -> None:
    """errors.md lists each error class with its code and status, and has a section for its code."""
    table = [[code(cell) for cell in row[:3]] for row in rows(section(page("errors"), "## Codes"))]
    assert [error.code, str(error.status), error.__name__] in table
    assert f"\n### {error.code}\n" in prose(page("errors"))


def test_the_table_has_no_other_errors() -> None:
    """errors.md lists no class that vendorsrv.errors does not have."""
    table = {code(row[2]) for row in rows(section(page("errors"), "## Codes"))}
    assert {error.__name__ for error in ERRORS} == table


@cache
def ending(literal: str) -> re.Pattern[str]:
    """Return what matches a text that ends with a literal of the code, where `…` stands for anything."""
    return re.compile(".*".join(map(re.escape, literal.split("…"))) + "$")


@pytest.mark.parametrize("message", messages())
def test_every_message_is_documented(message: str) -> None:
    """errors.md has each error message of the product word for word, with `…` for the parts that vary."""
    assert any(ending(message).search(documented) for documented in documented_messages())


@pytest.mark.parametrize("message", documented_messages())
def test_every_documented_message_exists(message: str) -> None:
    """Each message in errors.md ends with a string of the product's code."""
    assert any(ending(literal).search(message) for literal in literals() if len(literal.strip("… ")) > 8)


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, option) for group, options in SECTIONS.items() for option in options],
    ids=lambda each: getattr(each, "name", each),
)
def test_every_option_is_documented(group: str, option: cfg.Opt) -> None:
    """configuration.md has each option of the server's sections with its default."""
    assert default_of(option) == documented_options(f"## `[{group}]`").get(option.name)


def test_every_documented_option_exists() -> None:
    """configuration.md has exactly the options of the server, of handlers and of proxies."""
    for section_name, options in SECTIONS.items():
        assert {option.name for option in options} == set(documented_options(f"## `[{section_name}]`"))
    assert {option.name for option in COMMON_OPTIONS} == set(documented_options("## `[handler:<name>]`"))
    assert {option.name for option in PROXY_OPTIONS} == set(documented_options("## `[proxy:<name>]`"))


@pytest.mark.parametrize("name", sorted(vendorsrv.__all__))
def test_every_public_name_is_documented(name: str) -> None:
    """handlers.md lists each public name."""
    assert f"`{name}`" in section(page("handlers"), "## Public names")


@pytest.mark.parametrize("name", ["name", *(name for name in vars(Handler) if not name.startswith("_"))])
def test_every_declaration_is_documented(name: str) -> None:
    """handlers.md lists each attribute and method of Handler."""
    names = [code(row[0]) for row in rows(section(page("handlers"), "## What a class declares"))]
    assert name in [re.sub(r"^async |\(.*", "", each) for each in names]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_is_documented(command: str) -> None:
    """The admin guide mentions each command."""
    assert f"vendorsrv {command}" in page("admin-guide").read_text()


def test_every_package_is_documented() -> None:
    """architecture.md has a paragraph for each package and each module beside the packages."""
    text = section(page("architecture"), "## The packages")
    assert [] == [name for name in ROW if f"`{name}`" not in text]


@pytest.mark.parametrize("path", [*PAGES, *sorted(ROOT.glob("examples/*/README.md"))], ids=shown)
def test_links_have_targets(path: Path) -> None:
    """A relative link names a file of the checkout, and its anchor a heading in that file."""
    broken = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        if not link.startswith("https://") and not (file.exists() and (not anchor or anchor in anchors(file))):
            broken.append(link)
    assert [] == broken


def test_the_readme_links_to_every_page() -> None:
    """README.md links to each page of docs/, to the changelog and to the security policy."""
    assert {shown(path) for path in PAGES[1:]} <= set(links(PAGES[0]))


@pytest.mark.parametrize(("block", "words"), commands("sh") + commands("console"), ids=str)
def test_commands_exist(block: Block, words: list[str]) -> None:
    """Each `vendorsrv` command in the documentation exists with its options, and each `make` command has a target."""
    if words[0] == "make":
        assert f"\n{words[1]}: " in (ROOT / "Makefile").read_text()
        return
    context = click.Context(click.Command("vendorsrv"))
    command = Commands().get_command(context, words[1])
    if isinstance(command, click.Group):
        command = command.get_command(context, words[2])
    assert command is not None
    known = {name for parameter in command.params for name in parameter.opts}
    assert set() == {word.partition("=")[0] for word in words[2:] if word.startswith("--")} - known


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_python_can_be_parsed(block: Block) -> None:
    """Python in the documentation can be parsed, and has lines of at most 120 characters."""
    ast.parse(block.text)
    assert [] == [line for line in block.text.splitlines() if len(line) > 120]


@pytest.mark.parametrize("block", [each for each in all_blocks("python") if "(Handler)" in each.text], ids=str)
def test_handlers_can_be_defined(block: Block, tmp_path: Path) -> None:
    """Each handler class in the documentation can be defined, and has a docstring."""
    path = tmp_path / block.name
    path.write_text(block.text)
    defined = [value for value in runpy.run_path(str(path)).values() if isinstance(value, type)]
    classes = [each for each in defined if issubclass(each, Handler) and each is not Handler]
    assert [] == [each for each in classes if not each.__doc__]
    assert classes


@pytest.mark.parametrize("block", all_blocks("json", "yaml", "toml"), ids=str)
def test_data_can_be_parsed(block: Block) -> None:
    """JSON, YAML and TOML in the documentation can be parsed."""
    parsers: dict[str, Callable[[str], object]] = {"json": json.loads, "yaml": yaml.safe_load, "toml": tomllib.loads}
    assert parsers[block.language](block.text)


@pytest.mark.parametrize("block", all_blocks("toml"), ids=str)
def test_packages_have_an_entry_point(block: Block) -> None:
    """A package in the documentation has an entry point in the group vendorsrv.handlers."""
    assert "vendorsrv.handlers" in tomllib.loads(block.text)["project"]["entry-points"]


@pytest.mark.parametrize("block", all_blocks("systemd"), ids=str)
def test_units_start_commands_that_exist(block: Block) -> None:
    """A systemd unit has its three sections, and runs vendorsrv serve and check, or listen."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(block.text)
    assert ["Unit", "Service", "Install"] == parser.sections()
    started = re.findall(r"^Exec\w+=\S+/vendorsrv (\w+) --config-file ", block.text, re.MULTILINE)
    assert started == (["listen"] if "listen" in block.name else ["serve", "check"])


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_policies_can_be_loaded(block: Block, tmp_path: Path) -> None:
    """A policy file in the documentation can be loaded, and has only rules that vendorsrv knows."""
    (tmp_path / "vendorsrv.conf").write_text("")
    (tmp_path / "policy.yaml").write_text(block.text)
    policy = Policy(open_config(tmp_path / "vendorsrv.conf"), ["mailserver"], has_account=True)
    assert set(yaml.safe_load(block.text)) <= set(policy.enforcer.registered_rules)


@pytest.mark.parametrize("block", all_blocks("ini"), ids=str)
def test_configurations_hold_options_that_exist(block: Block, tmp_path: Path) -> None:
    """No INI block has an unknown option or section, except the example of mistakes."""
    if block.name == "mistakes.conf":
        return
    text = block.text if block.text.startswith("[") else f"[vendorsrv]\n{block.text}"
    path, ours = tmp_path / (Path(block.name).name or "vendorsrv.conf"), tmp_path / "ours.conf"
    path.write_text(text)
    ours.write_text("[vendorsrv]\n")
    findings = find_all(ours, path) if path.name == "nova.conf" else find_all(path)
    assert [] == [str(finding) for finding in findings if "no such" in finding.message]


def test_the_configurations_of_the_admin_guide_pass_the_check(tmp_path: Path) -> None:
    """The admin guide's vendorsrv.conf and nova.conf pass the check together, once their passwords are filled in."""
    ours, nova = (complete_config(each, tmp_path) for each in blocks(page("admin-guide"), "ini")[:2])
    unfilled = "still has the sample's value CHANGE-ME"
    no_key = "not set: the answers of mailserver are pinned unencrypted"
    assert {unfilled, no_key} == {each.message for each in find_all(ours, nova)}
    for path in (ours, nova):
        path.write_text(path.read_text().replace("CHANGE-ME", "secret"))
    assert [no_key] == [each.message for each in find_all(ours, nova)]


def test_the_changelog_begins_with_this_version() -> None:
    """CHANGELOG.md's newest version is the package's, without the .dev0 of one that is not released."""
    newest, *_ = re.findall(r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version, _, unreleased = vendorsrv.__version__.partition(".dev")
    assert (version, bool(unreleased)) == (newest[0], newest[1] == "unreleased")
