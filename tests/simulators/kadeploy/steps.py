"""The microsteps of each macrostep, and which of them a deployment leaves out; from Kadeploy's ``stepdeploy.rb``."""

from __future__ import annotations

import typing as t

_PREPARE = (
    "send_key_in_deploy_env",
    "create_partition_table",
    "format_deploy_part",
    "mount_deploy_part",
    "format_tmp_part",
    "format_swap_part",
)
_REBOOT = ("switch_pxe", "set_vlan", "reboot", "wait_reboot")
_FILL = (
    "manage_user_post_install",
    "check_kernel_files",
    "send_key",
    "install_bootloader",
    "sync",
)
_BOOT = ("reboot", "set_vlan", "wait_reboot")

#: Macrostep → its microsteps in order.
STEPS: dict[str, tuple[str, ...]] = {
    "SetDeploymentEnvUntrusted": _REBOOT + _PREPARE,
    "SetDeploymentEnvNfsroot": _REBOOT + _PREPARE,
    "SetDeploymentEnvKexec": ("set_vlan", "send_deployment_kernel", "sync", "kexec", "wait_reboot", *_PREPARE),
    "SetDeploymentEnvUntrustedCustomPreInstall": (*_REBOOT, "send_key_in_deploy_env", "manage_admin_pre_install"),
    "SetDeploymentEnvProd": ("check_nodes", "format_deploy_part", "mount_deploy_part", "format_tmp_part"),
    "SetDeploymentEnvDummy": ("dummy", "dummy"),
    "SetDeploymentMiniOSTrusted": ("set_vlan", "send_deployment_kernel", "kexec", "wait_reboot", *_PREPARE),
    "SetDeploymentMiniOSUntrusted": _REBOOT + _PREPARE,
    "BroadcastEnvBittorrent": ("mount_tmp_part", "send_environment", *_FILL),
    **{
        f"BroadcastEnv{kind}": ("send_environment", *_FILL)
        for kind in ("Chain", "Tree", "Custom", "Kascade", "Kastafior")
    },
    "BroadcastEnvDummy": ("dummy", "dummy"),
    "BootNewEnvKexec": ("switch_pxe", "umount_deploy_part", "mount_deploy_part", "kexec", "set_vlan", "wait_reboot"),
    "BootNewEnvClassical": ("switch_pxe", "umount_deploy_part", "reboot_from_deploy_env", "set_vlan", "wait_reboot"),
    "BootNewEnvHardReboot": ("switch_pxe", *_BOOT),
    "BootNewEnvDummy": ("dummy", "dummy"),
    "Simple": _BOOT,
    "SetPXE": ("switch_pxe", *_BOOT),
    "DeployEnv": ("switch_pxe", *_BOOT, "send_key_in_deploy_env"),
    "RecordedEnv": ("switch_pxe", *_BOOT),
    "On": ("power",),
    "Off": ("power",),
    "Status": ("power",),
}

#: Names of the macrosteps of a deployment, for breakpoints.
MACROSTEPS = {"SetDeploymentEnv", "SetDeploymentMiniOS", "BroadcastEnv", "BootNewEnv"}
MICROSTEPS = {step for steps in STEPS.values() for step in steps}

#: Steps that run no command on the machine.
REMOTE = {"switch_pxe", "set_vlan", "reboot", "wait_reboot", "power", "dummy"}

#: What `kind` of a request for a reboot is as a macrostep.
REBOOTS = {"set_pxe": "SetPXE", "simple": "Simple", "deploy_env": "DeployEnv", "recorded_env": "RecordedEnv"}


def left_out(body: t.Mapping[str, t.Any], image_kind: str, os: str) -> set[str]:
    """Microsteps that have nothing to do in a deployment."""
    out = {"format_tmp_part"} if not body.get("reformat_tmp_partition") else set()
    if not body.get("vlan"):
        out.add("set_vlan")
    if not body.get("ssh_authorized_keys"):
        out |= {"send_key", "send_key_in_deploy_env"}
    if body.get("disable_disk_partitioning"):
        out.add("create_partition_table")
    if body.get("disable_bootloader_install"):
        out.add("install_bootloader")
    if os != "linux":
        out.add("format_swap_part")
    if image_kind != "tar":
        out |= {"format_deploy_part", "check_kernel_files"}
    if body.get("block_device") and not (body.get("deploy_partition") or body.get("deploy_part")):
        out |= {"create_partition_table", "format_deploy_part", "format_tmp_part", "format_swap_part"}
    return out
