"""YAML is read as cloud-init's pure parser does, where libyaml reads it differently."""

from __future__ import annotations

import asyncio
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from vendorsrv.cloudinit import loader
from vendorsrv.cloudinit.guard import Guard
from vendorsrv.cloudinit.loader import IN_PROCESS, InvalidYAML, load
from vendorsrv.cloudinit.text import LateCheck
from vendorsrv.errors import CloudInitError

WHAT = "the answer for cloud-init"
#: Texts that libyaml reads and the pure parser does not.
REFUSED = [
    "ntp:\n  servers: [a.example.org]\t# the site\n",
    "ntp:\n  servers:\t[a.example.org]\n",
    "ntp:\n  servers: [a.example.org,\tb.example.org]\n",
    "runcmd:\n- [curl, http://h/x?a=b]\n",
    "runcmd:\n- {curl: a?b}\n",
    "runcmd:\n- a\tb\n",
    "write_files:\n- content: |\t# a tab\n    x\n",
    "write_files:\n- content: |-# close\n    x\n",
]
#: Texts that both read, or the pure parser alone.
READ = [
    ("runcmd:\n- curl http://h/x?a=b\n", {"runcmd": ["curl http://h/x?a=b"]}),
    ("runcmd:\n- [curl, 'http://h/x?a=b']\n", {"runcmd": [["curl", "http://h/x?a=b"]]}),
    ("runcmd:\n- 'a\tb'\n", {"runcmd": ["a\tb"]}),
    ("runcmd:\n- [a, ?b]\n", {"runcmd": [["a", {"b": None}]]}),
    ("bootcmd:\n- |\n  \tindented\n", {"bootcmd": ["\tindented\n"]}),
    ("bootcmd:\n- |\n  all:\n  \tcc?\n", {"bootcmd": ["all:\n\tcc?\n"]}),
    ("hostname: x  # really?\n", {"hostname": "x"}),
    ("hostname: x  #\tx\n", {"hostname": "x"}),
    ("? hostname\n: x\n", {"hostname": "x"}),
    ("%X\n---\nhostname: x\n", {"hostname": "x"}),
    ("own: !\n", {"own": None}),
    ("bootcmd:\n- |\n  a |# b!\n", {"bootcmd": ["a |# b!\n"]}),
]
#: What makes a text too long for the pure parser in this process.
LONG = "".join(f"# {number} ----------\n" for number in range(IN_PROCESS // 10))


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("after", ["", LONG], ids=["short", "long"])
def test_what_cloud_init_cannot_read_is_refused(text: str, after: str) -> None:
    """A text that only libyaml reads is refused with its line, whether short or long."""
    with pytest.raises(CloudInitError) as caught:
        Guard().check_answer(f"#cloud-config\n{text}{after}", "x")
    assert caught.value.message in {
        f"{WHAT} is not valid YAML (line {line}); cloud-init would ignore it" for line in (2, 3, 4)
    }


@pytest.mark.parametrize(("text", "value"), READ)
@pytest.mark.parametrize("after", ["", LONG], ids=["short", "long"])
def test_what_cloud_init_can_read_is_accepted(text: str, value: object, after: str) -> None:
    """A text that the pure parser reads is accepted, whether short or long, and has its value."""
    answer = f"#cloud-config\n{text}{after}"
    assert (answer, value) == (Guard().check_answer(answer, "x"), load(answer))


def test_a_date_that_does_not_exist_is_refused_in_a_long_text() -> None:
    """What YAML itself does not refuse, and the pure parser cannot construct, is refused."""
    assert isinstance(load(f"a: 2026-99-99\nb: [c?]\n{LONG}"), InvalidYAML)


@pytest.mark.parametrize("value", ["!!bool x", "!!timestamp x", "!!int ''", "!!float x", "!!binary é"])
@pytest.mark.parametrize("after", ["", f"b: [c?]\n{LONG}"], ids=["short", "long"])
def test_a_value_that_its_tag_does_not_allow_is_refused(value: str, after: str) -> None:
    """PyYAML raises errors of all kinds for such a value; the answer is refused for each."""
    with pytest.raises(CloudInitError, match=r"is not valid YAML.*; cloud-init would ignore it"):
        Guard().check_answer(f"#cloud-config\na: {value}\n{after}", "x")


def test_a_text_that_is_not_read_in_time_is_read_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is not read in time is no invalid one: it is 504, and answered when there is more time."""
    text = f"#cloud-config\nhostname: who?\n{LONG}"
    with monkeypatch.context() as patched:
        patched.setattr(loader, "TIMEOUT", 0.001)
        with pytest.raises(LateCheck, match=r"^the answer for cloud-init could not be checked in time$"):
            Guard().check_answer(text, "x")
    assert text == Guard().check_answer(text, "x")


def test_a_check_ends_with_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads a long text is ended at the request's deadline, and the guard is free for the next."""
    monkeypatch.setattr(loader, "PURE", "import time\ntime.sleep(60)\n")
    text = f"#cloud-config\nhostname: why?\n{LONG}"

    async def work() -> tuple[str, str]:
        guard, began = Guard(), time.monotonic()
        with pytest.raises(LateCheck):
            await guard.check(len(text), began + 0.2, guard.check_answer, text, "x")
        answer = await guard.check(IN_PROCESS + 1, began + 30, guard.check_answer, "#!/bin/sh\n", "x")
        return answer, "in time" if time.monotonic() < began + 30 else "late"

    assert ("#!/bin/sh\n", "in time") == asyncio.run(work())


#: Of these, all differences between the two parsers were found.
PIECES = (
    *("a", "b: ", "- ", "[", "]", "{", "}", ", ", "\n", "\n  ", "\t", " ", "?", "? ", "a?b", "?x", ":", "'q'", '"d"'),
    *("#c", " #c", "|\n  ", "|\n  \t", "| \t\n  x", ">\n  ", "&a ", "*a", "!!str ", "%", "@", "\u2028", "\u0085"),
    *("!", "!!bool x", "!!timestamp x", "%X\n---\n", "|#", ">-#"),
    *("\ufeff", "\u00e9", "---\n", "'a\n\tb'", "<<: ", "2026-01-01", "-\t", "a:\tb", "\t# c", "http://h/x?a=b", "\r"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@settings(max_examples=400, deadline=None)
def test_the_verdict_is_that_of_the_pure_parser(text: str) -> None:
    """A text is valid if and only if the pure parser reads it, and has the value that this one gives it."""
    try:
        expected = repr(yaml.safe_load(text))
    except Exception:  # noqa: BLE001 - whichever PyYAML raises
        expected = "invalid"
    found = load(text)
    assert expected == ("invalid" if isinstance(found, InvalidYAML) else repr(found))
