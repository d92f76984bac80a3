"""A stand-in for Neutron's API, in which nothing exists: neutron PORT.

It is enough for servers with ``networks: none``. A real Neutron without agents would leave each port unbound, and add
nothing to what is tested here.
"""

from __future__ import annotations

import json
import sys
from wsgiref.types import StartResponse, WSGIEnvironment

import waitress

QUOTAS = ("floatingip", "security_group", "security_group_rule", "network", "port")


def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer every list with nothing."""
    name = environ["PATH_INFO"].removeprefix("/v2.0").strip("/").partition("/")[0].removesuffix(".json")
    if not name:
        link = {"rel": "self", "href": f"http://{environ['HTTP_HOST']}/v2.0/"}
        body: object = {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}], "resources": []}
    elif name == "quotas":
        body = {"quota": dict.fromkeys(QUOTAS, -1)}
    else:
        body = {name.replace("-", "_"): []}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


waitress.serve(application, host="127.0.0.1", port=int(sys.argv[1]), ident=None)
