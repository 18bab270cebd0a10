"""Users, tokens, roles and access control lists; what a user may do on a path."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import typing as t
import uuid
from contextlib import contextmanager
from pathlib import Path

from .errors import ApiError, FormatError, permission_error
from .formats import split_list, user_name
from .privileges import PRIVILEGES, ROLES

if t.TYPE_CHECKING:
    from .clock import Clock

Record = dict[str, t.Any]
TOKEN = re.compile(r"([^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+)!([A-Za-z][A-Za-z0-9.\-_]+)")
TICKET_SECONDS = 7200


class Access:
    """The users of the cluster, in ``etc/user.json``; secrets beside it."""

    def __init__(self, state: Path, clock: Clock) -> None:
        self._path = state / "etc" / "user.json"
        self._clock = clock
        self._lock = threading.RLock()
        if self._path.exists():
            self.data: Record = json.loads(self._path.read_text())
        else:
            self.data = {"users": {}, "groups": {}, "roles": {}, "acl": [], "pools": {}, "key": secrets.token_hex(16)}
            self.data["users"]["root@pam"] = {"enable": 1, "expire": 0, "tokens": {}}
            self.set_password("root@pam", secrets.token_urlsafe(12))
            self.add_token("root@pam", "sim", {"privsep": "0"})
            self._save()

    @contextmanager
    def change(self, error: str) -> t.Iterator[Record]:
        """Changes users; what goes wrong is told after ``error``, as text (500), and nothing is changed then."""
        with self._lock:
            before = json.dumps(self.data)
            try:
                yield self.data
            except ApiError as failure:
                self.data = json.loads(before)
                raise ApiError(f"{error}: {failure}") from None
            self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.data, indent=1))
        temporary.replace(self._path)

    @property
    def root_token(self) -> str:
        """The token that everything may, as recorders take it."""
        return f"token:root@pam!sim={self.data['users']['root@pam']['tokens']['sim']['secret']}"

    def add_token(self, user: str, token: str, record: Record) -> str:
        """A new token of a user (or a new secret of an old one); answers the secret."""
        secret = str(uuid.uuid4())
        self.data["users"][user]["tokens"][token] = {**record, "secret": secret}
        return secret

    def set_password(self, user: str, password: str) -> None:
        """Sets the password of a user."""
        self.data["users"][user]["password"] = password

    def roles(self) -> dict[str, set[str]]:
        """Role → privileges, also of those that always exist."""
        return {**ROLES, **{name: set(privileges) for name, privileges in self.data["roles"].items()}}

    def user(self, name: str) -> Record:
        """A user; dies where there is none."""
        if name not in self.data["users"]:
            raise ApiError(f"no such user ('{name}')")
        record: Record = self.data["users"][name]
        return record

    def check_enabled(self, name: str) -> None:
        """Dies when a user may not log in."""
        user = self.user(name)
        if not int(user.get("enable", 1)):
            raise ApiError(f"user '{name}' is disabled")
        if int(user.get("expire") or 0) and int(user["expire"]) < self._clock.time():
            raise ApiError(f"user '{name}' access expired")

    def token(self, text: str) -> str:
        """The user of ``USER@REALM!ID=SECRET``; dies where the secret is wrong."""
        identifier, equals, secret = text.rpartition("=")
        match = TOKEN.fullmatch(identifier)
        if not match:
            raise ApiError("no tokenid specified")
        self.check_enabled(match[1])
        token = self.user(match[1])["tokens"].get(match[2])
        if token is None:
            raise ApiError(f"no such token '{match[2]}' for user '{match[1]}'")
        if int(token.get("expire") or 0) and int(token["expire"]) < self._clock.time():
            raise ApiError(f"token '{match[2]}' access expired")
        if not hmac.compare_digest(token["secret"], secret):
            raise ApiError("invalid token value!")
        return identifier

    def _sign(self, text: str) -> str:
        return hmac.new(self.data["key"].encode(), text.encode(), hashlib.sha256).hexdigest()

    def new_ticket(self, user: str) -> Record:
        """A ticket of a user and its token against forged requests."""
        stamp = f"{int(self._clock.time()):08X}"
        ticket = f"PVE:{user}:{stamp}"
        return {
            "username": user,
            "ticket": f"{ticket}::{self._sign(ticket)}",
            "CSRFPreventionToken": f"{stamp}:{self._sign(f'csrf {user} {stamp}')}",
        }

    def check_password(self, user: str, password: str) -> None:
        """Dies when this is not the password of a user."""
        known = self.user(user).get("password")
        if not (known and hmac.compare_digest(known.encode(), password.encode())):
            raise ApiError("invalid credentials" if known else "no password set")

    def login(self, user: str, password: str) -> Record:
        """A ticket for a password (or for an older ticket, of root for anybody); 401 where it is wrong."""
        try:
            self.check_enabled(user)
            if not password.startswith("PVE:"):
                self.check_password(user, password)
            elif self.ticket(password) not in (user, "root@pam"):
                raise ApiError("invalid credentials")
        except (ApiError, ValueError):
            raise ApiError("authentication failure", 401) from None
        return self.new_ticket(user)

    def ticket(self, text: str) -> str:
        """The user of a ticket; dies when it is wrong or too old."""
        body, colons, signature = text.rpartition("::")
        parts = body.split(":")
        if not colons or len(parts) != 3 or not hmac.compare_digest(self._sign(body), signature):
            raise ApiError("invalid PVE ticket")
        age = self._clock.time() - int(parts[2], 16)
        if not -300 < age < TICKET_SECONDS:
            raise ApiError("invalid PVE ticket")
        self.check_enabled(parts[1])
        return parts[1]

    def check_csrf(self, user: str, token: str | None) -> None:
        """Dies when a change comes without the token of the ticket."""
        stamp, colon, signature = (token or "").partition(":")
        if not colon or not hmac.compare_digest(self._sign(f"csrf {user} {stamp}"), signature):
            raise ApiError("Permission denied - invalid csrf token", 401)

    def permissions(self, user: str, path: str) -> dict[str, int]:
        """Privileges on a path → whether they are inherited further."""
        if user == "root@pam":
            return dict.fromkeys(PRIVILEGES, 1)
        match = TOKEN.fullmatch(user)
        if match:
            token = self.data["users"].get(match[1], {}).get("tokens", {}).get(match[2])
            if token is None:
                return {}
            owner = self.permissions(match[1], path)
            if not int(token.get("privsep", 1)):
                return owner
            mine = self._privileges(user, path)
            return {privilege: int(owner[privilege] and mine[privilege]) for privilege in mine if privilege in owner}
        return self._privileges(user, path)

    def _privileges(self, user: str, path: str) -> dict[str, int]:
        roles = self._roles_on(user, path)
        if "NoAccess" not in roles:
            for pool, members in self.data["pools"].items():
                kind, dummy, name = path[1:].partition("/")
                if (kind == "vms" and name in members["vms"]) or (kind == "storage" and name in members["storage"]):
                    inherited = self._roles_on(user, f"/pool/{pool}")
                    roles = {"NoAccess": 0} if "NoAccess" in inherited else {**dict.fromkeys(inherited, 0), **roles}
        known = self.roles()
        result: dict[str, int] = {}
        for role, propagated in roles.items():
            for privilege in known.get(role, ()):
                result[privilege] = result.get(privilege, 0) or propagated
        return result

    def _roles_on(self, user: str, path: str) -> dict[str, int]:
        """Roles that hold on a path: of the nearest entry above, users before groups."""
        parts = [part for part in path.split("/") if part]
        roles: dict[str, int] = {}
        for depth in range(len(parts) + 1):
            here = "/" + "/".join(parts[:depth])
            final = depth == len(parts)
            entries = [entry for entry in self.data["acl"] if entry["path"] == here and (final or entry["propagate"])]
            kind = "token" if "!" in user else "user"
            own = [entry for entry in entries if (entry["type"], entry["ugid"]) == (kind, user)]
            group = [entry for entry in entries if entry["type"] == "group" and self._is_member(user, entry["ugid"])]
            if own or group:
                roles = {entry["roleid"]: entry["propagate"] for entry in own or group}
        return {"NoAccess": roles["NoAccess"]} if "NoAccess" in roles else roles

    def _is_member(self, user: str, group: str) -> bool:
        return user in self.data["groups"].get(group, {}).get("users", [])

    def may(self, user: str, path: str, privileges: list[str], *, any_of: bool = False) -> bool:
        """The user has all privileges (or one of them) on a path."""
        mine = self.permissions(user, path)
        return (any if any_of else all)(privilege in mine for privilege in privileges)

    def may_use_bridge(self, user: str, bridge: str) -> bool:
        """The user may see a bridge, or a VLAN of it."""
        path = f"/sdn/zones/localnetwork/{bridge}"
        below = {entry["path"] for entry in self.data["acl"] if entry["path"].startswith(f"{path}/")}
        return any(self.may(user, one, ["SDN.Audit", "SDN.Use"], any_of=True) for one in (path, *sorted(below)))

    def check(self, user: str, path: str, privileges: list[str]) -> None:
        """Dies of the first privilege that the user lacks."""
        mine = self.permissions(user, path)
        for privilege in privileges:
            if privilege not in mine:
                raise permission_error(f"{path}, {privilege}")

    def check_any(self, user: str, path: str, privileges: list[str]) -> None:
        """Dies when the user has none of the privileges."""
        if not self.may(user, path, privileges, any_of=True):
            raise permission_error(f"{path}, {'|'.join(privileges)}")

    def check_vm(
        self, user: str, vmid: int, privileges: list[str], *, pool: str | None = None, any_of: bool = False
    ) -> None:
        """Dies when the user lacks privileges on a VM and on the pool it is made in."""
        if pool and self.may(user, f"/pool/{pool}", privileges, any_of=any_of):
            return
        (self.check_any if any_of else self.check)(user, f"/vms/{vmid}", privileges)

    def may_modify(self, user: str, path: str) -> bool:
        """The user may change access rights of a path."""
        return self.may(user, path, _modifiers(path), any_of=True)

    def check_modify(self, user: str, path: str) -> None:
        """Dies when the user may not change access rights of a path."""
        self.check_any(user, path, _modifiers(path))

    def check_call(self, permissions: Record | None, user: str | None, parameters: Record) -> None:
        """Dies when the schema does not permit a call to the user."""
        if not user:
            if permissions and permissions.get("user") == "world":
                return
            raise permission_error("user != null")
        if user == "root@pam":
            return
        if permissions is None:
            raise permission_error("user != root@pam")
        if permissions.get("user") == "all":
            return
        if "check" not in permissions:
            raise permission_error()
        self._check_tree(permissions["check"], user, parameters)

    def _check_tree(self, check: list[t.Any], user: str, parameters: Record) -> None:
        kind, *rest = check
        if kind == "and":
            for one in rest:
                self._check_tree(one, user, parameters)
        elif kind == "or":
            for one in rest:
                try:
                    return self._check_tree(one, user, parameters)
                except FormatError:
                    raise
                except ApiError:
                    continue
            raise permission_error()
        elif kind == "perm":
            self._check_path(rest, user, parameters)
        elif kind == "perm-modify":
            modified = normal_path(_filled(rest[0], parameters))
            if modified:
                self.check_modify(user, modified)
        elif kind == "userid-param":
            self._check_user_parameter(rest[0], user, parameters)
        elif kind == "userid-group":
            options = dict(zip(rest[1::2], rest[2::2], strict=True))
            self._check_group(rest[0], user, parameters, options.get("groups_param"))
        return None

    def _check_path(self, rest: list[t.Any], user: str, parameters: Record) -> None:
        path, privileges, *more = rest
        options = dict(zip(more[::2], more[1::2], strict=True))
        if "require_param" in options and parameters.get(options["require_param"]) is None:
            raise permission_error()
        normal = normal_path(_filled(path, parameters))
        if normal is None:
            raise permission_error(f", {'|'.join(privileges if options.get('any') else privileges[:1])}")
        (self.check_any if options.get("any") else self.check)(user, normal, privileges)

    def _check_user_parameter(self, test: str, user: str, parameters: Record) -> None:
        target = user_name(str(parameters.get("userid") or ""))
        if test == "self":
            self.user(target)
            if user != target:
                raise permission_error()
        else:
            self.check(user, f"/access/realm/{target.rpartition('@')[2]}", [test])

    def _check_group(self, privileges: list[str], user: str, parameters: Record, new: str | None) -> None:
        """Dies when the user has the privileges neither on all groups, nor on those that the call is about.

        :param new: groups are given to a user that is made (``create``) or changed (``update``)
        """
        if new != "create":
            self.user(str(parameters.get("userid")))
        if self.may(user, "/access/groups", privileges, any_of=True):
            return
        if new:
            groups = split_list(parameters.get("groups"))
            for path in [f"/access/groups/{group}" for group in groups] or ["/access/groups"]:
                self.check_any(user, path, privileges)
        if new != "create" and parameters.get("userid") not in self.members(user, privileges):
            raise permission_error()

    def members(self, user: str, privileges: list[str]) -> set[str]:
        """Members of the groups on which the user has one of the privileges."""
        groups = self.data["groups"].items()
        mine = [one for name, one in groups if self.may(user, f"/access/groups/{name}", privileges, any_of=True)]
        return {member for group in mine for member in group["users"]}


def normal_path(path: str) -> str | None:
    """A path of the access control list in its one form; ``None`` where it is none."""
    path = re.sub("/+", "/", path).removesuffix("/") or "/"
    path = path if path.startswith("/") else f"/{path}"
    return path if re.fullmatch(r"[a-zA-Z0-9.\-_/]+", path) else None


def _modifiers(path: str) -> list[str]:
    """Privileges of which one is needed to change access rights of a path."""
    kinds = {"vms": "VM.Allocate", "storage": "Datastore.Allocate", "pool": "Pool.Allocate"}
    kind, slash, name = path[1:].partition("/")
    return ["Permissions.Modify", *([kinds[kind]] if name and kind in kinds else [])]


def _filled(path: str, parameters: Record) -> str:
    filled = re.sub(r"\{(\w+)\}", lambda match: str(parameters.get(match[1], "")), path)
    return filled.rstrip("/") or "/"
