"""A whole small OpenStack in one folder: started, asked, and stopped."""

from __future__ import annotations

import contextlib
import functools
import hmac
import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
from openstack.compute.v2.server import Server
from openstack.connection import Connection

from tests.support.cloud import setup
from tests.support.cloud.configuration import write_configuration
from tests.support.cloud.kept import Kept, locked, remove
from tests.support.cloud.service import (
    PATIENCE,
    ROOT,
    CloudError,
    Service,
    answers,
    proportional_kib,
    uninterrupted,
    wait_for,
)
from tests.support.cloud.setup import BIN, ENDPOINTS, PORTS, USERS, program, project_of
from tests.support.cloud.stores import Stores
from vendorsrv.demo.keystone import LocalKeystone
from vendorsrv.errors import ConfigError


class Cloud:
    """The cloud of one folder, as a context manager: it goes on where it was, or is set up when the folder has none.

    Keystone, Placement, Glance, Nova's API, scheduler, conductor, computes and metadata API are the real ones, with
    RabbitMQ and MariaDB (or SQLite); Neutron is a stand-in. vendorsrv serves the mail server to them, beside
    handlers of the lab (``recorder``, ``where``).
    Start it from the main thread.

    :param folder: of this cloud alone. The next start goes on with its servers and its pins, unless this lab or its
        packages have changed.
    :param hosts: names of the computes.
    :param say: gets one line for each step.
    :ivar admin: openstacksdk's connection as ``admin``.
    :ivar services: the running ones by name, ``nova-compute`` of a host by the host's name.
    :raises CloudError: it cannot start; the text names the service, what is wrong and its log. Nothing runs then, and
        of a cloud that was never complete only the logs are left.
    """

    admin: Connection
    stores: Stores
    kept: Kept
    keystone: LocalKeystone

    def __init__(self, folder: Path, hosts: Sequence[str] = ("compute-1",), say: Callable[[str], None] = print) -> None:
        self.folder, self.hosts, self.say = folder.absolute(), list(hosts), say
        self.logs, self.configuration = self.folder / "logs", self.folder / "etc"
        self.is_fatal = False
        self.services: dict[str, Service] = {}
        self._end = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start(self._end)
        except BaseException as error:
            self.__exit__()
            if isinstance(error, ConfigError):  # of the local Keystone
                raise CloudError(f"{error} (log: {self.logs / 'keystone.log'})") from error
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with uninterrupted():
            self._end.close()

    def remove(self) -> None:
        """Remove the cloud of the folder, with its databases and its virtual host; the logs stay.

        :raises CloudError: it runs.
        """
        with locked(self.folder):
            stores = Stores(self.folder)
            remove(stores)
            self.logs.mkdir(exist_ok=True)
            stores.remove_virtual_host(self.logs)

    def url(self, name: str) -> str:
        """Return where one of :data:`ENDPOINTS` answers."""
        return f"http://127.0.0.1:{self.kept.ports[name]}{ENDPOINTS[name][0]}"

    def connect(self, user: str) -> Connection:
        """Return openstacksdk's connection of a user."""
        session = self.keystone.session(user, self._password_of(user), project_of(user))
        return Connection(session=session, region_name="RegionOne")

    def restart(self, *names: str, is_fatal: bool) -> None:
        """Stop services and start them again, with failures of vendordata fatal or not."""
        self.is_fatal = is_fatal
        self._write_configuration()
        self.stop(*names)
        self.start(*names)

    def stop(self, *names: str) -> None:
        """Stop services, all at once."""
        for name in names:
            self.services[name].ask_to_stop()
        for name in names:
            self.services[name].stop()

    def start(self, *names: str) -> None:
        """Start services, all at once, and return when they answer."""
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for name in names:
            self.services[name].start()
        for name in names:
            if name in ENDPOINTS:
                self._wait(name, functools.partial(answers, self.url(name)))
        if computes := set(names).intersection(self.hosts):
            self._wait(" and ".join(sorted(computes)), lambda: computes <= self._hosts_seen(since))

    def boot(self, user: str, name: str, **options: Any) -> Server:
        """Boot a server of a user's and return it when it is ACTIVE.

        :param options: of the request, as openstacksdk names them.
        :raises openstack.exceptions.SDKException: it is refused, or got into ERROR.
        """
        connection = self.connect(user)
        compute = connection.compute
        image = connection.image.find_image("tiny", ignore_missing=False)
        flavor = compute.find_flavor("tiny", ignore_missing=False)
        order = {"image_id": image.id, "flavor_id": flavor.id, "networks": "none", **options}
        return compute.wait_for_server(compute.create_server(name=name, **order), interval=0.5, wait=PATIENCE)

    def check(self) -> None:
        """Return if all services run.

        :raises CloudError: one has ended.
        """
        for service in self.services.values():
            service.check()

    def metadata(self, server: Server, file: str = "vendor_data2.json") -> httpx.Response:
        """Ask Nova's metadata API as Neutron's proxy does when a guest reads ``/openstack/latest/<file>``."""
        headers = {
            "X-Instance-ID": server.id,
            "X-Tenant-ID": server.project_id,
            "X-Instance-ID-Signature": hmac.digest(self.kept.password.encode(), server.id.encode(), "sha256").hex(),
            "X-Forwarded-For": "192.0.2.1",
        }
        url = f"{self.url('nova-metadata')}/openstack/latest/{file}"
        return httpx.get(url, headers=headers, timeout=60, trust_env=False)

    def drive(self, server: Server, file: str = "vendor_data2.json") -> bytes:
        """Return a file of a server's config drive, from the host where Nova says that it is."""
        host = self.admin.compute.get_server(server).compute_host
        return (self.folder / str(host) / "instances" / server.id / "drive/openstack/latest" / file).read_bytes()

    def asked(self, server: Server) -> list[dict[str, Any]]:
        """Return what Nova has asked the recorder about a server, in order: ``roles``, sorted, and ``image``."""
        lines = map(json.loads, (self.folder / "recorded.jsonl").read_text().splitlines())
        return [line for line in lines if line.pop("instance") == server.id]

    def memory(self) -> int:
        """Return what all services use, in MiB; of each shared page, their share (PSS)."""
        leaders = [self.keystone.process, *(service.process for service in self.services.values())]
        sessions = {process.pid for process in leaders if process}
        return sum(proportional_kib(folder, sessions) for folder in Path("/proc").glob("[0-9]*")) // 1024

    def _start(self, undo: contextlib.ExitStack) -> None:
        undo.enter_context(locked(self.folder))
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir()
        self.stores = Stores(self.folder)
        self.stores.check_rabbitmq()
        kept = Kept.load(self.stores)
        is_new = kept is None
        self.kept = kept or Kept.new(self.stores, PORTS)
        self.kept.check_ports(self.folder)
        if is_new:
            undo.callback(self._remove_unfinished)
            remove(self.stores)
        self.say(f"{'Setting up' if is_new else 'Starting'} a cloud with {self.stores.kind}; logs: {self.logs}")
        steps: list[Service] = []
        undo.callback(self._stop_all, steps)
        steps.append(self.stores.make_virtual_host(self.logs))
        self.keystone = LocalKeystone(
            directory=self.folder / "keystone", log_file=self.logs / "keystone.log", port=self.kept.ports["keystone"]
        )
        undo.enter_context(self.keystone)
        self.say("keystone answers")
        self._make_folders()
        self._write_configuration()
        if is_new:
            self.stores.create()
            steps += setup.database_steps(self.stores, self.configuration, self.logs)
            setup.create_accounts(self.keystone, self.kept.password, self.url)
            self.say("accounts and catalogue are made")
        for step in steps:
            step.finish()
        self.say("RabbitMQ's virtual host and the databases are made")
        self._start_services(is_new=is_new)
        self.kept.save(self.folder)

    def _start_services(self, *, is_new: bool) -> None:
        self.services = {name: self._service(name) for name in self._names()}
        early = [name for name in self.services if name not in self.hosts]
        for name in early:
            self.services[name].start()
        self.admin = self.connect("admin")
        for name in ("vendorsrv", "neutron", "placement", "glance", "nova-api", "nova-metadata"):
            self._wait(name, functools.partial(answers, self.url(name)))
            self.say(f"{name} answers")
        if is_new:
            setup.create_image(self.admin)
            setup.create_flavors(self.admin)
        # Before the conductor is there, the first question of nova-compute waits 10 s in vain.
        self._wait(
            "nova-conductor", lambda: "Starting conductor node" in self.services["nova-conductor"].log.read_text()
        )
        self.start(*self.hosts)
        self.say(f"{' and '.join(self.hosts)} reported to Nova")

    def _names(self) -> list[str]:
        with_port = [name for name in ENDPOINTS if name != "keystone"]
        return [*with_port, "nova-conductor", "nova-scheduler", *self.hosts]

    def _service(self, name: str) -> Service:
        folder, ports = self.configuration, self.kept.ports
        nova = ["--config-file", f"{folder}/nova.conf"]
        environment = {
            "OS_GLANCE_CONFIG_DIR": str(folder),
            "OS_NOVA_CONFIG_DIR": str(folder),
            "OS_NOVA_CONFIG_FILES": "api-paste.ini;nova.conf;nova-database.conf",  # the first is the paste file
            "OS_PLACEMENT_CONFIG_DIR": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        if module := ENDPOINTS.get(name, ("", ""))[1]:
            command = [*program("wsgi"), module, str(ports[name])]
        elif name == "neutron":
            command = [*program("neutron"), str(ports[name])]
        elif name == "vendorsrv":
            command = [f"{BIN}/vendorsrv", "serve", "--config-file", f"{folder}/vendorsrv.conf"]
        elif name in self.hosts:
            command = [*program("run_nova"), "compute", *nova, "--config-file", f"{folder}/{name}.conf"]
        else:
            service = name.removeprefix("nova-")
            command = [*program("run_nova"), service, *nova, "--config-file", f"{folder}/nova-database.conf"]
        return Service(name=name, command=command, logs=self.logs, environment=environment)

    def _wait(self, what: str, condition: Callable[[], object]) -> None:
        wait_for(what, condition, [service for service in self.services.values() if service.process])

    def _hosts_seen(self, since: str) -> set[str]:
        known = {hypervisor.name for hypervisor in self.admin.compute.hypervisors()}
        services = self.admin.compute.services(binary="nova-compute")
        return {service.host for service in services if service.host in known and (service.updated_at or "") >= since}

    def _stop_all(self, steps: list[Service]) -> None:
        self.say("Stopping the cloud")
        running = [*steps, *self.services.values()]
        for service in running:
            service.ask_to_stop()
        for service in running:
            service.stop()
        self.stores.remove_virtual_host(self.logs)

    def _remove_unfinished(self) -> None:
        if not (self.folder / "cloud.json").exists():
            remove(self.stores)

    def _make_folders(self) -> None:
        for folder in ("glance/images", "glance/staging", "glance/tasks", "nova/lock", "vendorsrv", *self.hosts):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        (self.folder / "recorded.jsonl").touch()

    def _write_configuration(self) -> None:
        values = {
            "bus": self.stores.bus,
            "configuration": self.configuration,
            "database": self.stores.url,
            "folder": self.folder,
            "is_fatal": self.is_fatal,
            "is_mariadb": self.stores.kind == "mariadb",
            "password": self.kept.password,
            "ports": self.kept.ports,
            "urls": {name: self.url(name) for name in ENDPOINTS},
            "users": [(user, self._password_of(user), project_of(user)) for user in ("admin", *USERS)],
        }
        write_configuration(self.configuration, self.hosts, values)

    def _password_of(self, user: str) -> str:
        return str(self.kept.password) if user in USERS else self.keystone.password
