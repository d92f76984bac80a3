"""The top-level keys of a cloud-config with the JSON types that cloud-init accepts for each.

Generated from the schema of cloud-init 22.4, which a test compares with this table, and extended by the keys of newer
versions (26.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

#: The keys of each combination of types; those of none are in no schema.
KEYS_BY_TYPES: Final = {
    "array": (
        "bootcmd cloud_config_modules cloud_final_modules cloud_init_modules fs_setup mount_default_fields mounts "
        "packages runcmd ssh_authorized_keys ssh_fp_console_blacklist ssh_genkeytypes ssh_import_id "
        "ssh_key_console_blacklist write_files"
    ),
    "boolean": (
        "allow_public_ssh_keys apt_reboot_if_required apt_update apt_upgrade create_hostname_file disable_ec2_metadata "
        "disable_piwiz disable_root enable_rpi_connect manage_resolv_conf migrate no_ssh_fingerprints "
        "package_reboot_if_required package_update package_upgrade prefer_fqdn_over_hostname preserve_hostname "
        "ssh_deletekeys ssh_quiet_keygen"
    ),
    "object": (
        "ansible apk_repos apt autoinstall ca-certs ca_certs chef chpasswd datasource device_aliases disk_setup "
        "drivers fan growpart grub-dpkg grub_dpkg keyboard landscape lxd mcollective network output phone_home "
        "power_state puppet random_seed reporting resolv_conf rh_subscription rpi rpi_interfaces rpi_userconf "
        "rsyslog salt_minion snap spacewalk ssh ssh_keys ssh_publish_hostkeys swap system_info ubuntu_advantage "
        "ubuntu_pro updates vendor_data vendor_data2 yum_repos zypper"
    ),
    "string": (
        "authkey_hash byobu_by_default disable_root_opts final_message fqdn hostname locale_configfile password "
        "timezone yum_repo_dir"
    ),
    "boolean string": "locale manage_etc_hosts resize_rootfs ssh_pwauth",
    "null object": "ntp wireguard",
    "object string": "user",
    "array object string": "groups users",
    "boolean integer string": "apt_pipelining",
    "": "launch-index merge_how merge_type version",
}
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    key: tuple(types.split()) for types, keys in KEYS_BY_TYPES.items() for key in keys.split()
}

#: The types of items with which a key's module does not fail (cloudinit/util.py, shellify, and cloudinit/config).
ITEMS: Final[Mapping[str, tuple[str, ...]]] = {
    "bootcmd": ("array", "null", "string"),
    "runcmd": ("array", "null", "string"),
    "users": ("array", "object", "string"),
    "write_files": ("object",),
}
#: What versions of cloud-init disagree about: newer ones allow it, or 22.4's modules take what its schema refuses.
DISPUTED: Final = re.compile(
    r"ansible\.pull|cloud_(init|config|final)_modules|disk_setup\.|locale$|packages|rh_subscription\.org|users$|users\[\d+\]"
    r"(\.(doas|sudo))?$"
)
