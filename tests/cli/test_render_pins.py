"""``vendorsrv render`` with the server's configuration: what is pinned is shown, and nothing runs by accident."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet

from tests.support.pin_stores import make_table, with_store
from tests.support.serving import INSTANCE, section, write_config
from vendorsrv.cli.main import main
from vendorsrv.pins.cipher import PinCipher
from vendorsrv.pins.store import PinStore

KEY = Fernet.generate_key().decode()
ROLES = ("--boot-roles", "mail-admin")
REFUSED = (
    "vendorsrv: handler mailserver pins its answers, and nothing is pinned for instance "
    f"{INSTANCE}; --run runs it, with all its side effects\n"
)
AWAY = "vendorsrv: the pin store does not answer (ConnectionRefusedError): [Errno 111] "


class Operator:
    """Renders the mail server with a server's configuration."""

    def __init__(self, folder: Path, **database: object) -> None:
        sections = section("handler:mailserver", {"domain": "example.org"})
        sections += section("pins", {"encryption_keys": KEY}) + section("database", database)
        self.config = str(write_config(folder, handlers="mailserver", sections=sections))
        self.payload = folder / "payload.json"
        self.payload.write_text(json.dumps({"instance-id": INSTANCE, "hostname": "web-1"}))
        self.url = f"sqlite:///{folder}/pins.db"

    def pin(self, answer: object, key: str = KEY) -> None:
        """Pin an answer for the instance."""
        make_table(self.url)
        place = (INSTANCE, "mailserver:cloud-init")

        async def add(store: PinStore) -> None:
            await store.add(*place, PinCipher([key]).encrypt(*place, json.dumps(answer).encode()), 1.0)

        with_store(self.url, add)

    def render(self, *arguments: str) -> Result:
        """Run the command."""
        options = ["--config-file", self.config, "--payload", str(self.payload), *arguments]
        return CliRunner().invoke(main, ["render", "mailserver", *options])


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """An operator without pins."""
    return Operator(tmp_path)


def test_a_pinned_answer_is_shown(operator: Operator) -> None:
    """The pinned parts are shown, and the handler does not run: it would have others."""
    operator.pin([{"type": "text/x-shellscript", "name": "old", "text": "#!/bin/sh\necho pinned\n"}])
    for options in (ROLES, (*ROLES, "--run")):
        result = operator.render(*options)
        assert (0, True, False) == (result.exit_code, "echo pinned" in result.output, "postfix" in result.output)


def test_a_pinned_nothing_is_nothing(operator: Operator) -> None:
    """An instance that was pinned as none stays none."""
    operator.pin({})
    assert "These handlers have nothing for cloud-init and this instance.\n" == operator.render(*ROLES).output


def test_a_handler_that_pins_does_not_run_by_itself(operator: Operator, tmp_path: Path) -> None:
    """Without a pin, or without a store, the handler runs with --run only, and nothing is pinned by it."""
    assert (1, REFUSED) == (operator.render(*ROLES).exit_code, operator.render(*ROLES).output)
    assert "postfix" in operator.render(*ROLES, "--run").output
    assert not (tmp_path / "pins.db").exists()
    make_table(operator.url)
    assert REFUSED == operator.render(*ROLES).output


def test_a_pin_that_cannot_be_read_is_an_error(operator: Operator) -> None:
    """A pin with another key is an error, and the handler does not run."""
    operator.pin({}, Fernet.generate_key().decode())
    assert (
        f"vendorsrv: instance {INSTANCE}, handler mailserver:cloud-init: the pinned answer cannot be decrypted\n"
        == operator.render(*ROLES, "--run").output
    )


def test_a_store_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    """With the database away nobody knows what is pinned: the handler does not run, with --run neither."""
    operator = Operator(tmp_path, connection="postgresql://me:planted@127.0.0.1:1/pins")
    for options in (ROLES, (*ROLES, "--run")):
        result = operator.render(*options)
        assert (1, AWAY) == (result.exit_code, result.output[: len(AWAY)])


class Prepares(Operator):
    """Renders a handler with a preparation, or one that has only ``cloud_init``."""

    def __init__(self, folder: Path, handler: str) -> None:
        super().__init__(folder)
        (folder / "runs").mkdir(exist_ok=True)
        self.handler = f"tests.support.handlers.preparing:{handler}"
        self.name = handler.lower()
        sections = section(f"handler:{self.name}", {"runs": folder / "runs"})
        self.config = str(write_config(folder, handlers=self.handler, sections=sections))

    def pin_as(self, suffix: str, answer: object) -> None:
        """Pin something for the instance."""
        make_table(self.url)
        stored = b"0" + json.dumps(answer).encode()
        with_store(self.url, lambda store: store.add(INSTANCE, f"{self.name}{suffix}", stored, 1.0))

    def message(self, *arguments: str) -> str:
        """Return the message of the rendered cloud-config."""
        options = ["--config-file", self.config, "--payload", str(self.payload), *arguments]
        lines = CliRunner().invoke(main, ["render", self.name, *options]).output.splitlines()
        return next(each for each in lines if each.startswith(("final_message", "vendorsrv")))


def test_a_handler_that_prepares_is_rendered_with_a_preparation(tmp_path: Path) -> None:
    """With --run a handler prepares, and then returns its parts; what is pinned of its preparation is used."""
    operator = Prepares(tmp_path, "Enrolled")
    assert operator.message().startswith("vendorsrv: handler enrolled pins its answers")
    shown = operator.message("--run")
    assert {shown.removeprefix("final_message: ")} == {
        path.suffix[1:] for path in (tmp_path / "runs").iterdir() if path.stem == "prepare"
    }
    operator.pin_as(":prepare", {"password": "pinned"})
    assert "final_message: pinned" == operator.message("--run")


def test_the_one_answer_of_a_handler_for_cloud_init_is_shown(tmp_path: Path) -> None:
    """What is pinned for the own path of a handler with only `cloud_init` is what every target gets."""
    operator = Prepares(tmp_path, "Joining")
    operator.pin_as("", "#cloud-config\nfinal_message: pinned\n")
    assert "final_message: pinned" == operator.message()
