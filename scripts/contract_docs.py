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

The contract is what Nova and cloud-init need of a vendordata server, as a list of test cases. `vendorsrv contract`
runs them against any server, in whatever language it is written; it needs only the server's URL.

```sh
vendorsrv contract https://rack.example.org:8443/data
vendorsrv contract --nova-conf /etc/nova/nova.conf --tenant-os-cloud demo rack@https://rack.example.org:8443/data
vendorsrv contract --os-cloud service-nova --skip again-same --junit contract.xml https://rack.example.org:8443/data
vendorsrv contract --list
```

## What a run does

The command posts what Nova posts, [with the same library](admin-guide.md#troubleshoot) and Nova's timeouts, and
reads each answer as Nova does. It prints a row for each case, and explains each failure: what was sent, what was
received, what Nova makes of it, and why it matters. On a terminal, failures have colours: red for `must`, yellow for
`should`, cyan for `info`.

A run sends about forty requests, at most six at once, within two minutes. It follows no redirect and reads at most 8
MiB of an answer. It prints no token, and of an answer only the type, the size and the names of members.

**Instances** are invented, a new one for most cases, with the hostname `vendorsrv-contract`. A server that enrols,
pins or bills instances does so for about a dozen of them. For a server that knows only real instances, give one with
`--instance-id` and `--project-id`, or a whole body with `--payload`; the run then uses no other instance.

**Tokens** come from the same options as for `vendorsrv call`: `OS_*` variables, `--os-cloud` or `--nova-conf`. With
`--anonymous`, or without any `OS_*` variables, no valid token is sent, and little can be tested of a server that
requires one. `--tenant-os-cloud` names a cloud of clouds.yaml with an account that the server must refuse.

**Outcomes** are `passed`, `failed` and `not tested`. A case that cannot be tested says why, and which option would
help. A consequence of another failure is not tested: a server that refuses Nova's usual body fails `answer-status`,
and not twenty other cases. [again-other-instance](#again-other-instance) is not tested when both instances get an
empty answer, such as `{}`: that may be right.

| severity | a failure means | counts |
|---|---|---|
| `must` | Nova or an instance breaks, or somebody is let in who must be refused | always |
| `should` | the server is hard to operate | with `--strict` |
| `info` | something to know | never |

| exit status | means |
|---|---|
| 0 | nothing that counts failed |
| 1 | something that counts failed |
| 2 | the server could not be called: wrong URL, no token from Keystone, no connection, untrusted certificate |

`--only` and `--skip` take ids of cases and names of groups, and can be repeated. `--json` prints the whole report as
one object. `--junit FILE` also writes JUnit XML for CI systems; there, a failed `should` is a skipped test unless
`--strict` is given, so that the CI system agrees with the exit status.

The cases of [cloud-init safety](#cloud-init-safety) apply to a target named `cloud-init`.

## From Python

```python
from vendorsrv.contract import check
from vendorsrv.nova.credentials import from_environment

report = check("rack@https://rack.example.org:8443/data", caller=from_environment("service-nova"))
assert report.passes(), [verdict.found for verdict in report.failures("must")]
```

`caller` and `tenant` are keystoneauth1 sessions, or tokens.

## As tests of your own

With `vendorsrv[testing]` installed, one line makes a test of each case:

```python
from vendorsrv.contract.pytest import contract_tests

test_contract = contract_tests("rack@http://127.0.0.1:9090/rack")
```

For a server that your tests start, give the name of a fixture that returns its URL, or a `Subject` with tokens:

```python
import pytest

from vendorsrv.contract import Subject
from vendorsrv.contract.pytest import contract_tests


@pytest.fixture
def rack(server):
    return Subject(f"rack@{server.url}/rack", caller=server.token)


test_contract = contract_tests("rack", skip=["cloud-init"])
```

A failed `must` fails its test. A failed `should` is an expected failure (`xfail`) with the reason, or fails with
`strict=True`. An `info` never fails. A case that cannot be tested is skipped.

## Ids

An id begins with its group and never changes. A new version may add cases; it makes an existing case stricter only
with a note in the [changelog](../CHANGELOG.md).

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
