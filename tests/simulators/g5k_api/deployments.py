"""Deployments: passed on to Kadeploy, which tells when they have ended (``deployment.rb``)."""

from __future__ import annotations

import hashlib
import threading
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import yaml
from kadeploy.files import refused

from .errors import ApiError, forbidden
from .kadeploy_client import KadeployClient

Json = dict[str, t.Any]

_TEXTS = ("key", "version", "arch", "partition_label", "block_device", "reformat_tmp", "vlan")
_TIMES = ("reboot_classical_timeout", "reboot_kexec_timeout")
_SWITCHES = ("disable_disk_partitioning", "disable_bootloader_install", "ignore_nodes_deploying")
_GONE = "The deployment no longer exists on the Kadeploy server"


class Deployments:
    """:param files: where keys that were sent as text are kept, and the address under which they are served"""

    def __init__(self, site: str, kadeploy: KadeployClient, files: tuple[Path, str]) -> None:
        self._site = site
        self._kadeploy = kadeploy
        self._directory, self._address = files
        self._found: dict[str, Json] = {}
        self._lock = threading.RLock()

    def create(self, user: str, body: Json) -> Json:
        """A new one."""
        wrong = []
        if not body.get("environment"):
            wrong.append("Environment can't be blank")
        nodes = body.get("nodes")
        if not nodes:
            wrong.append("Nodes can't be blank")
        if not isinstance(nodes, list) or not nodes:
            wrong.append("Nodes must be a non-empty list of node FQDN")
        if wrong:
            raise ApiError(400, f"The deployment you are trying to submit is not valid: {'; '.join(wrong)}")
        key = self._key(user, body.get("key"))
        asked = self._translated({**body, "key": key})
        reply = self._kadeploy.call("POST", "/deployment", user, asked)
        if reply.status != 200:
            raise ApiError(400 if reply.status == 400 else 500, f"Cannot launch deployment: {reply.text}")
        now = int(time.time())
        uid = reply.body["wid"]
        told: Json = {"uid": uid, "site_uid": self._site, "user_uid": user, "environment": body["environment"]}
        told |= {"status": "processing", "nodes": nodes}
        told |= {name: body[name] for name in (*_TEXTS, *_TIMES) if body.get(name) is not None}
        told |= {"key": key} if key else {}
        told |= {name: bool(body.get(name, False)) for name in _SWITCHES}
        with self._lock:
            self._found[uid] = {**told, "created_at": now, "updated_at": now}
        return self._found[uid]

    def _key(self, user: str, key: t.Any) -> str:
        """An address of a key; of one that is text, a new one."""
        if not key or urllib.parse.urlsplit(str(key)).scheme:
            return str(key or "")
        name = f"{user}-key-{hashlib.sha1(key.encode()).hexdigest()}"
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / name).write_text(key)
        return f"{self._address}/{name}"

    def _translated(self, body: Json) -> Json:
        """What Kadeploy is asked for."""
        environment = str(body["environment"])
        if urllib.parse.urlsplit(environment).scheme:
            described: Json = {**_fetch(environment), "kind": "anonymous"}
        else:
            name, _at, user = environment.partition("@")
            described = {"name": name, "kind": "database"}
            described |= {"user": user} if user else {}
            described |= {key: str(body[key]) for key in ("version", "arch") if body.get(key)}
        asked: Json = {"environment": described, "nodes": body["nodes"], "hook": True}
        for name, key in (
            ("key", "ssh_authorized_keys"),
            ("partition_label", "deploy_part"),
            ("block_device", "block_device"),
            ("reformat_tmp", "reformat_tmp_partition"),
            ("vlan", "vlan"),
        ):
            if body.get(name):
                asked[key] = str(body[name])
        for name, key in zip(_SWITCHES, (*_SWITCHES[:2], "force"), strict=True):
            if body.get(name):
                asked[key] = True
        return asked

    def find(self, uid: str) -> Json:
        """By its identifier."""
        with self._lock:
            if uid not in self._found:
                raise ApiError(404, f"Couldn't find Grid5000::Deployment with ID={uid}")
            return self._found[uid]

    def list(self, user: str, status: str, oldest_first: bool) -> list[Json]:
        """Of a user, with a status."""
        with self._lock:
            found = [about for about in self._found.values() if user in ("", about["user_uid"])]
        found = [about for about in found if status in ("", about["status"])]
        return found if oldest_first else found[::-1]

    def cancel(self, user: str, uid: str) -> None:
        """End it, if it goes on."""
        about = self.find(uid)
        if about["user_uid"] != user:
            raise forbidden()
        if about["status"] == "processing":
            self._kadeploy.call("DELETE", f"/deployment/{uid}", user)
            self._set(about, status="canceled", output=_GONE)

    def touch(self, uid: str) -> None:
        """Kadeploy says that something has happened to it."""
        about = self.find(uid)
        if about["status"] != "processing":
            return
        reply = self._kadeploy.call("GET", f"/deployment/{uid}", "root")
        if reply.status != 200:
            self._set(about, status="canceled", output=_GONE)
        elif reply.body["error"]:
            failed = self._kadeploy.call("GET", f"/deployment/{uid}/error", "root")
            self._set(about, status="error", output=failed.text.strip())
        elif reply.body["done"]:
            states = self._kadeploy.call("GET", f"/deployment/{uid}/state", "root").body
            result = {node: {**state, "state": state["state"].upper()} for node, state in states.items()}
            self._set(about, status="terminated", result=result)

    def _set(self, about: Json, **values: t.Any) -> None:
        with self._lock:
            about |= {**values, "updated_at": int(time.time())}


def _fetch(address: str) -> Json:
    """The description at an address."""
    prefix = "Cannot launch deployment: Error fetching the image description file:"
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        scheme = urllib.parse.urlsplit(address).scheme
        raise ApiError(500, f"{prefix} {scheme} protocol not supported yet")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=10) as answer:
            return dict(yaml.safe_load(answer.read()))
    except OSError as error:
        reason = getattr(error, "reason", error)
        name = "Errno::ECONNREFUSED" if isinstance(reason, ConnectionRefusedError) else type(error).__name__
        raise ApiError(500, f"{prefix} {name}, {refused(address, error)}") from error
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise ApiError(500, f"{prefix} Psych::SyntaxError, {error}") from error
