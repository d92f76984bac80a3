"""Nova's fake driver, with a config drive as libvirt builds it: a folder, written by Nova's own classes.

libvirt builds the drive of a guest that it defines anew (``nova/virt/libvirt/driver.py``, ``_create_image``): at boot,
rebuild, unshelve, evacuation, resize and cold migration. A live migration copies it.
"""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

from nova import context as nova_context
from nova import objects
from nova.api.metadata.base import InstanceMetadata
from nova.conf import CONF
from nova.image import glance
from nova.virt import configdrive, fake


class Driver(fake.FakeDriverWithoutFakeNodes):  # type: ignore[misc]
    """Guests in memory, their config drives in ``<instances_path>/<id>/drive``."""

    def init_host(self, host: str) -> None:
        """Find the guests again: the fake driver forgets them with its process, a hypervisor does not."""
        super().init_host(host)
        admin = nova_context.get_admin_context()
        for instance in objects.InstanceList.get_by_host(admin, host, expected_attrs=["flavor"]):
            if instance.vm_state not in ("error", "shelved_offloaded"):
                self.instances[instance.uuid] = fake.FakeInstance(instance.name, instance.power_state, instance.uuid)

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: Any,
        *args: Any,
        **more: Any,
    ) -> None:
        """Build the drive and start the guest."""
        if configdrive.required_by(instance):
            self.build_drive(instance, injected_files, admin_password, more.get("network_info"))
        super().spawn(context, instance, image_meta, injected_files, admin_password, *args, **more)

    def build_drive(self, instance: Any, injected_files: Any, admin_password: Any, network_info: Any) -> None:
        """Write the drive's files as they would be on its ISO image."""
        extra = {"admin_pass": admin_password} if admin_password else {}
        metadata = InstanceMetadata(instance, content=injected_files, extra_md=extra, network_info=network_info)
        drive = folder_of(instance) / "drive"
        shutil.rmtree(drive, ignore_errors=True)
        with configdrive.ConfigDriveBuilder(instance_md=metadata) as builder:
            for name, data in builder.mdfiles:
                file = drive / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data if isinstance(data, bytes) else data.encode())

    def snapshot(self, context: Any, instance: Any, image_id: str, update_task_state: Any) -> None:
        """Upload an image as a guest's disk."""
        super().snapshot(context, instance, image_id, update_task_state)
        glance.API().update(context, image_id, {"disk_format": "raw", "container_format": "bare"}, BytesIO(bytes(512)))

    def destroy(self, context: Any, instance: Any, *args: Any, **more: Any) -> None:
        """End the guest, and remove its drive."""
        shutil.rmtree(folder_of(instance), ignore_errors=True)
        super().destroy(context, instance, *args, **more)

    def power_off(self, instance: Any, *args: Any, **more: Any) -> None:
        """Take a guest that never started for one that is off, as libvirt does; else a rebuild hangs."""
        if instance.uuid in self.instances:
            super().power_off(instance, *args, **more)

    def live_migration(self, context: Any, instance: Any, dest: str, *args: Any, **more: Any) -> None:
        """Copy the drive to the other host's folder, and go on."""
        theirs = Path(CONF.instances_path).parents[1] / dest / "instances" / instance.uuid
        if folder_of(instance).exists():
            shutil.copytree(folder_of(instance), theirs)
        super().live_migration(context, instance, dest, *args, **more)

    def post_live_migration(
        self, context: Any, instance: Any, block_device_info: Any, migrate_data: Any = None
    ) -> None:
        """End the guest at the source."""
        self.destroy(context, instance, None)

    def post_live_migration_at_destination(self, context: Any, instance: Any, *args: Any, **more: Any) -> None:
        """Have the guest at the destination, with the drive that was copied."""
        super().spawn(context, instance, None, None, None, None)


def folder_of(instance: Any) -> Path:
    """Return where this host keeps what belongs to a guest."""
    return Path(CONF.instances_path, instance.uuid)
