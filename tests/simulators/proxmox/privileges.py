"""Privileges and the roles that always exist (pve-access-control 9)."""

from __future__ import annotations

#: Kind → privileges of root, administrators, users, auditors.
GROUPS: dict[str, tuple[str, str, str, str]] = {
    "VM": (
        "",
        "VM.Config.Disk VM.Config.CPU VM.Config.Memory VM.Config.Network VM.Config.HWType VM.Config.Options VM.Allocate"
        " VM.Clone VM.GuestAgent.Unrestricted VM.Migrate VM.Replicate VM.Snapshot VM.Snapshot.Rollback",
        "VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.Backup VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt"
        " VM.GuestAgent.FileWrite VM.PowerMgmt",
        "VM.Audit VM.GuestAgent.Audit",
    ),
    "Sys": (
        "Sys.PowerMgmt Sys.Modify Sys.Incoming Sys.AccessNetwork",
        "Sys.Console Sys.Syslog",
        "",
        "Sys.Audit",
    ),
    "Datastore": (
        "",
        "Datastore.Allocate Datastore.AllocateTemplate",
        "Datastore.AllocateSpace",
        "Datastore.Audit",
    ),
    "SDN": ("", "SDN.Allocate SDN.Audit", "SDN.Use", "SDN.Audit"),
    "User": ("Realm.Allocate", "User.Modify Group.Allocate Realm.AllocateUser", "", ""),
    "Pool": ("", "Pool.Allocate", "Pool.Audit", "Pool.Audit"),
    "Mapping": ("", "Mapping.Modify", "Mapping.Use", "Mapping.Audit"),
}

PRIVILEGES = sorted(
    {"Permissions.Modify", *(name for group in GROUPS.values() for names in group for name in names.split())}
)


def _roles() -> dict[str, set[str]]:
    roles: dict[str, set[str]] = {"NoAccess": set(), "Administrator": set(PRIVILEGES), "PVEAdmin": set()}
    roles["PVEAuditor"] = set()
    for kind, (_dummy, admin, user, audit) in GROUPS.items():
        roles[f"PVE{kind}Admin"] = {*admin.split(), *user.split(), *audit.split()}
        roles["PVEAdmin"] |= roles[f"PVE{kind}Admin"]
        if user:
            roles[f"PVE{kind}User"] = {*user.split(), *audit.split()}
        roles["PVEAuditor"] |= set(audit.split())
    roles["PVEAdmin"] -= {"Mapping.Modify"}
    roles["PVETemplateUser"] = {"VM.Clone", "VM.Audit"}
    return roles


ROLES = _roles()
