"""A whole boot of a thrown-away machine with the real cloud-init, whose vendor data make it a mail server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.support.peers import machine
from tests.support.peers.nova import INSTANCE, Nova
from tests.support.peers.server import Server
from vendorsrv.cloudinit.dry_run import write_drive

#: What a user does who has no idea of the vendor: the keys that a vendor would like to have.
USER_DATA: Final = b"""\
#cloud-config
hostname: chosen-by-user
packages: [iproute2]
runcmd:
  - touch /var/tmp/users-runcmd
write_files:
  - path: /var/tmp/users-file
    content: mine
"""

#: What an image says of itself: one data source, and no disk, network or ssh daemon to set up.
IMAGE: Final = """\
datasource_list: [ConfigDrive]
network: {config: disabled}
apt: {preserve_sources_list: true}
locale: C.UTF-8
resize_rootfs: false
growpart: {mode: "off"}
cloud_init_modules: [migrator, bootcmd, write-files, set_hostname, update_hostname, update_etc_hosts, users-groups]
"""

#: All four stages, and then postfix, which has to deliver a message that comes over SMTP.
PROGRAM: Final = """\
python3 /root/loopback.py
python3 /root/trouble.py
for stage in "init --local" "init" "modules --mode=config" "modules --mode=final"; do
    cloud-init $stage >>/root/stages.log 2>&1 || { cat /root/stages.log /var/log/cloud-init-output.log; exit 1; }
done
exec python3 /root/mail.py
"""

#: The troubles of a first boot: there is no mirror for a while, and then another apt holds dpkg's lock.
TROUBLE: Final = """\
import fcntl, glob, os, sys, time

def wait_for(program):
    while True:
        for path in glob.glob("/proc/[0-9]*/comm"):
            try:
                if open(path).read() == program + "\\n":
                    return
            except OSError:
                pass
        time.sleep(0.05)

def say(what):
    with open("/root/trouble", "a") as file:
        print(what, file=file)

packages = glob.glob("/var/cache/apt/archives/*.deb")
for package in packages:
    os.rename(package, package + ".away")
if os.fork():
    sys.exit()
wait_for("sleep")
say("the script waits")
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
for package in packages:
    os.rename(package + ".away", package)
wait_for("apt-get")
time.sleep(2)
wait_for("apt-get")
say("apt-get waits")
lock.close()
"""

LOOPBACK: Final = """\
import fcntl, socket, struct
# SIOCSIFFLAGS: IFF_UP | IFF_RUNNING
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14s", b"lo", 0x41, b""))
"""

MAIL: Final = """\
import glob, json, smtplib, subprocess, time

def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout

run("useradd", "--create-home", "alice")
run("postconf", "-e", "inet_interfaces = loopback-only", "maillog_file = /var/log/mail.log", "home_mailbox = Mailbox/")
run("postconf", "-Me", "smtp/inet = 2525 inet n - n - - smtpd")
run("postconf", "-MX", "smtp/inet")
run("postconf", "-Me", "2525/inet = 2525 inet n - n - - smtpd")
started = run("postfix", "start")
delivered, said = [], ""
try:
    with smtplib.SMTP("127.0.0.1", 2525, timeout=60) as smtp:
        said = smtp.ehlo()[1].decode()
        for address in ("alice@example.org", "postmaster@example.org"):
            smtp.sendmail("bob@example.net", [address], "Subject: hello\\n\\nTo " + address)
    deadline = time.monotonic() + 60
    while len(delivered) < 2 and time.monotonic() < deadline:
        delivered = glob.glob("/home/alice/Mailbox/new/*") + glob.glob("/root/Mailbox/new/*")
        time.sleep(0.05)
except OSError as error:
    said = repr(error)
finally:
    run("postfix", "stop")
print(json.dumps({
    "postconf": dict(line.partition(" =")[::2] for line in run("postconf", "-n").splitlines()),
    "said": said,
    "delivered": [open(path).read() for path in delivered],
    "maillog": run("tail", "-n", "30", "/var/log/mail.log"),
    "started": started,
    "status": json.load(open("/run/cloud-init/status.json")),
    "warnings": run("grep", "-E", "WARNING|ERROR|CRITICAL|Traceback", "/var/log/cloud-init.log"),
    "output": run("cat", "/var/log/cloud-init-output.log")[-3000:],
    "user": run("ls", "/var/tmp"),
    "hostname": run("hostname"),
    "fqdn": run("cat", "/etc/hosts"),
    "trouble": run("cat", "/root/trouble"),
    "per-boot": run("ls", "/var/lib/cloud/scripts/per-boot"),
}))
"""


@pytest.fixture(scope="module")
def booted(nova: Nova, served: Server, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What there is on the machine after its boot; its vendor data came by Nova's own client."""
    instance = {
        **INSTANCE,
        "uuid": "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
        "system_metadata": {"boot_roles": "mail-admin"},
    }
    outcome = nova.vendordata(instance, [f"cloud-init@{served.url}/cloud-init"], fatal=True)
    files = tmp_path_factory.mktemp("machine")
    write_drive(files / "var/lib/cloud/seed/config_drive", outcome["value"]["cloud-init"], USER_DATA, "")
    for name, text in {
        "etc/cloud/cloud.cfg.d/99-image.cfg": IMAGE,
        "etc/apt/apt.conf.d/99-offline": 'Acquire::Retries "0";\n',
        "root/loopback.py": LOOPBACK,
        "root/trouble.py": TROUBLE,
        "root/mail.py": MAIL,
    }.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
    seen: dict[str, Any] = json.loads(machine.run(files, PROGRAM).splitlines()[-1])
    return seen


def test_all_stages_succeed(booted: Mapping[str, Any]) -> None:
    """cloud-init reports no error, and no warning about our vendor data."""
    stages = ("init-local", "init", "modules-config", "modules-final")
    assert [[], [], [], []] == [booted["status"]["v1"][stage]["errors"] for stage in stages]
    assert all(booted["status"]["v1"][stage]["finished"] for stage in stages)
    assert "" == booted["warnings"]


def test_the_script_waits_for_the_mirror_and_for_the_lock(booted: Mapping[str, Any]) -> None:
    """Without a mirror the script tries again, while another apt holds dpkg's lock it waits, and then it is done."""
    assert ("the script waits\napt-get waits\n", "") == (booted["trouble"], booted["per-boot"])


def test_postfix_is_configured(booted: Mapping[str, Any]) -> None:
    """``postconf -n`` shows the configured domain, relay and hostname."""
    wanted = {
        "mydomain": "example.org",
        "myhostname": "mail-1.example.org",
        "myorigin": "example.org",
        "relayhost": "[relay.example.org]",
        "smtpd_tls_cert_file": "/etc/ssl/certs/mail-server.pem",
    }
    assert wanted == {name: booted["postconf"][name].strip() for name in wanted}


def test_postfix_delivers(booted: Mapping[str, Any]) -> None:
    """A message sent by SMTP arrives in a user's mailbox, and one to postmaster in root's."""
    assert 2 == len(booted["delivered"]), booted
    assert {True} == {"Subject: hello" in message for message in booted["delivered"]}


def test_postfix_offers_tls(booted: Mapping[str, Any]) -> None:
    """Postfix greets with its name, and offers STARTTLS."""
    assert "mail-1.example.org" in booted["said"].splitlines()[0]
    assert "STARTTLS" in booted["said"]


def test_the_user_data_takes_effect(booted: Mapping[str, Any]) -> None:
    """The user's runcmd and files take effect beside the vendor's, and the user's hostname holds."""
    assert {"users-file", "users-runcmd"} <= set(booted["user"].split())
    assert "chosen-by-user" == booted["hostname"].strip().partition(".")[0]
