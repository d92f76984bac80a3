"""The page docs/contract.md, with every case: ``python -m scripts.contract_docs > docs/contract.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from textwrap import fill
from typing import Final

from vendorsrv.contract.case import GROUPS, Case, Group
from vendorsrv.contract.suite import CASES

WIDTH: Final = 118
HEAD: Final = """\
# The contract

What Nova and cloud-init need of a vendordata server, in whatever language it is written, as cases that a program
tries. The program is the command `vendorsrv contract`, and it needs nothing of the server but its URL.

```sh
vendorsrv contract https://rack.example.org:8443/data
vendorsrv contract --nova-conf /etc/nova/nova.conf --tenant-os-cloud demo rack@https://rack.example.org:8443/data
vendorsrv contract --os-cloud service-nova --skip again-same --junit contract.xml https://rack.example.org:8443/data
vendorsrv contract --list
```

## What it does

It posts what Nova posts, [with the same library](admin-guide.md#ask-it-yourself) and Nova's own timeouts, reads what
comes as Nova reads it, and prints a row for each case and the reason behind each failure. It makes some forty
requests, one after the other but for six at once, follows no redirect, reads at most 8 MiB of an answer, and begins
no request after two minutes. It prints no token, and of answers no more than their type, their size and the names of
members.

**Instances are made up**, a new one for most cases, with the hostname `vendorsrv-contract`. A server that enrols,
pins or bills what it is asked for does so for about a dozen of them. One that knows only real instances gets one by
`--instance-id` and `--project-id`, or a whole body by `--payload`; then no other instance is asked for.

**Tokens** are taken as `vendorsrv call` takes them: from `OS_*` variables, `--os-cloud` or `--nova-conf`. With
`--anonymous`, or when there are no `OS_*` variables, there is none: a server that asks for one is then held to little
more than that it does. `--tenant-os-cloud` names a cloud of clouds.yaml with the account of somebody who must not be
let in. What cannot be tested says what to give.

**Outcomes** are `passed`, `failed` and `not tested`. What follows from another failure is not tested: a server that
refuses Nova's usual body fails `answer-status`, and not twenty others.

| severity | means | counts |
|---|---|---|
| `must` | Nova or an instance breaks, or somebody gets in who must not | always |
| `should` | what hurts those who run such servers | with `--strict` |
| `info` | good to know | never |

The exit status is 0 when nothing that counts has failed, 1 when something has, and 2 when the server could not be
asked: a wrong URL, a Keystone that gives no token, a connection that is refused, a certificate that is not trusted.
`--only` and `--skip` take ids and the names of groups, and can be given many times. `--json` prints one object with
everything, `--junit FILE` writes what CI systems read. In it a failed `should` is a skipped test unless `--strict` is
given, so that it says what the exit status says.

The cases of [cloud-init safety](#cloud-init-safety) are for a target of the name `cloud-init`.

## From Python

```python
from vendorsrv.contract.suite import check
from vendorsrv.nova.credentials import from_environment

report = check("rack@https://rack.example.org:8443/data", caller=from_environment("service-nova"))
assert report.passes(), [verdict.found for verdict in report.failures("must")]
```

`caller` and `tenant` are keystoneauth1 sessions, or tokens.

## As tests of your own

With `vendorsrv[testing]` each case is a test, in one line:

```python
from vendorsrv.contract.pytest import contract_tests

test_contract = contract_tests("rack@http://127.0.0.1:9090/rack")
```

For a server that the tests start, name the fixture that gives its URL, or a `Subject` with tokens:

```python
import pytest

from vendorsrv.contract.suite import Subject
from vendorsrv.contract.pytest import contract_tests


@pytest.fixture
def rack(server):
    return Subject(f"rack@{server.url}/rack", caller=server.token)


test_contract = contract_tests("rack", skip=["cloud-init"])
```

A failed `must` fails its test; a failed `should` is an expected failure (`xfail`) with the reason, or fails with
`strict=True`; an `info` never fails; and what cannot be tested is skipped.

## Ids

They stay: a case may be added, but none is renamed, and none gets stricter under the same id without a word in the
[changelog](../CHANGELOG.md). An id begins with its group.

"""


def page() -> str:
    """Return the whole page."""
    return HEAD + "\n".join(line for group in GROUPS for line in section(group))


def section(group: Group) -> Iterator[str]:
    """Yield the lines of a group of cases."""
    title = GROUPS[group]
    yield f"## {title[0].upper()}{title[1:]}\n"
    for case in CASES:
        if case.group == group:
            yield from entry(case)


def entry(case: Case) -> Iterator[str]:
    """Yield the paragraphs of a case."""
    yield f"### {case.id}\n"
    yield f"**{case.severity}**: {case.title}.\n"
    yield f"{fill(f'Sent: {case.sends}.', WIDTH, break_on_hyphens=False)}\n"
    yield f"{fill(case.reason, WIDTH, break_on_hyphens=False)}\n"


if __name__ == "__main__":
    sys.stdout.write(page())
