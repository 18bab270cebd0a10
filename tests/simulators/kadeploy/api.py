"""The calls; those of workflows (``kadeploy.rb``, ``kareboot.rb``, ``kapower.rb``) are here."""

from __future__ import annotations

import base64
import json
import re
import typing as t

import yaml

from . import parameters
from .automata import Job
from .descriptions import check
from .errors import (
    DESTRUCTIVE,
    ENVIRONMENT,
    MISSING_OPTION,
    OPTION,
    RIGHTS,
    Crash,
    HttpError,
    KadeployError,
    forbidden,
    not_found,
)
from .machines import Load
from .server import Kadeploy
from .steps import REBOOTS, left_out
from .tables import Call, Tables
from .web import Answer, Request

Json = dict[str, t.Any]

_KINDS = {"deployment": "deploy", "reboot": "reboot", "power": "power"}
_PREFIX = "X-Kadeploy-"
_LEVELS = ("soft", "hard", "very_hard")
_VARIABLES = (
    *("BLOCK_DEVICE", "CLUSTER", "DEPLOY_PART", "DEPLOY_PART_NUM", "ENV", "ENV_HYPERVISOR", "ENV_HYPERVISOR_PARAMS"),
    *("ENV_INITRD", "ENV_KERNEL", "ENV_KERNEL_PARAMS", "OS_KIND", "PREPOST_EXTRACTION_DIR", "PROD_PART_NUM"),
    *("SWAP_PART_NUM", "TMP_DIR", "TMP_PART_NUM"),
)
#: First part of a path → what may be asked of it.
_METHODS = {
    "version": ("GET",),
    "auth_headers_prefix": ("GET",),
    "info": ("GET",),
    "clusters": ("GET",),
    "nodes": ("GET",),
    "deployment": ("POST", "PUT", "GET"),
    "reboot": ("POST", "PUT", "GET"),
    "power": ("POST", "PUT", "GET"),
    "environments": ("POST", "GET", "PUT", "DELETE"),
    "rights": ("POST", "GET", "PUT", "DELETE"),
}
_WORKFLOW_METHODS = ("GET", "DELETE")
_PAGE = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.0//EN">
<HTML>
  <HEAD><TITLE>Not Found</TITLE></HEAD>
  <BODY>
    <H1>Not Found</H1>
    `{path}' not found.
    <HR>
    <ADDRESS>
     WEBrick/1.8.1 (Ruby/3.1.7/2025-03-26) OpenSSL/3.0.22 at
     {where}
    </ADDRESS>
  </BODY>
</HTML>
"""


class Api:
    """Answers calls."""

    def __init__(self, server: Kadeploy) -> None:
        self.server = server
        self._tables = Tables(server)

    def __call__(self, request: Request) -> Answer:
        """Whatever comes."""
        if request.path == "/control/faults":
            return self.server.faults.control(request)
        if request.path == "/control/hook":
            self.server.database.hook = request.body.decode()
            self.server.database.save()
            return Answer(200)
        spoiled = self.server.faults.spoil(request)
        if spoiled is not None:
            return spoiled
        parts = [part for part in request.path.split("/") if part]
        if not parts or parts[0] not in _METHODS:
            return self._nowhere(request)
        known = parts[0] in _KINDS and len(parts) > 1 and parts[1] in self.server.workflows
        allowed = _WORKFLOW_METHODS if known else _METHODS[parts[0]]
        if request.method not in (*allowed, "HEAD"):
            headers = {**_TEXT, "Allow": ",".join((*allowed, "HEAD"))}
            return Answer(405, b"Method Not Allowed\n", headers)
        try:
            self.server.faults.query(request)
            return _found(self._dispatch(request, parts), request)
        except HttpError as error:
            headers = {"WWW-Authenticate": 'Basic realm="Kadeploy"'} if error.status == 401 else {}
            return Answer(error.status, (error.text + "\n").encode(), {**_TEXT, **headers})
        except KadeployError as error:
            info = base64.b64encode(error.text.encode()).decode()
            headers = {"X-Application-Error-Code": str(error.code), "X-Application-Error-Info": info}
            return Answer(400, (error.text + "\n").encode(), {**_TEXT, **headers})
        except Crash as crash:
            return Answer(500, (crash.text + "\n").encode(), _TEXT)

    def _nowhere(self, request: Request) -> Answer:
        """What WEBrick says of a path that it does not know."""
        where = request.headers.get("Host", "localhost:25300").replace("127.0.0.1", "localhost")
        page = _PAGE.format(path=request.path, where=where)
        return Answer(404, page.encode(), {"Content-Type": "text/html; charset=ISO-8859-1"})

    def _dispatch(self, request: Request, parts: list[str]) -> t.Any:
        given = parameters.read(request)
        first = parts[0]
        if first == "version":
            return self.server.options.version
        if first == "auth_headers_prefix":
            return _PREFIX
        if first == "info":
            return self._info()
        if first == "clusters":
            return list(self.server.clusters)
        call = Call(request, given, self._user(request), parts[1:], self.server)
        if first in _KINDS:
            return self._workflow(call, _KINDS[first])
        what: t.Callable[[Call], t.Any] = getattr(self._tables, first)
        return what(call)

    def _user(self, request: Request) -> str:
        """Who calls; believed, unless there are passwords."""
        passwords = self.server.options.passwords
        if not passwords:
            user = request.headers.get(f"{_PREFIX}User") or request.headers.get("X-Remote-Ident")
            if not user:
                why = f"Authentication failed: no user specified in the {_PREFIX}User HTTP header"
                raise HttpError(401, "Unauthorized", why)
            return user
        kind, _sep, token = (request.headers.get("Authorization") or "").partition(" ")
        if kind.lower() == "basic":
            user, _sep, password = base64.b64decode(token).decode(errors="replace").partition(":")
            if passwords.get(user) == password:
                return user
        raise HttpError(401, "Unauthorized", "Authentication failed: valid methods are http_basic")

    def _info(self) -> Json:
        automata: Json = {}
        for name, cluster in self.server.options.clusters.items():
            automata[name] = {
                macro: [{"name": way, "retries": retries, "timeout": int(end)} for way, retries, end in ways]
                for macro, ways in cluster.steps
            }
        filesystems = {name: ["ext2", "ext3", "ext4", "xfs", "vfat"] for name in self.server.clusters}
        variables = [f"KADEPLOY_{name}" for name in _VARIABLES]
        return {"pxe": "PXElinux", "automata": automata, "supported_fs": filesystems, "vars": variables}

    # Workflows

    def _workflow(self, call: Call, kind: str) -> t.Any:
        creates = call.method in ("POST", "PUT") or (kind == "power" and not call.parts and "nodes" in call.given)
        if creates and not call.parts:
            return self._create(call, kind)
        if not call.parts:
            return [w.about(self._sees(call.user, w.user)) for w in self.server.list(kind)]
        workflow = self.server.find(call.parts[0], kind)
        sees = self._sees(call.user, workflow.user)
        if call.method == "DELETE":
            if not sees:
                raise forbidden()
            if not call.dry:
                self.server.delete(workflow)
            return {"wid": workflow.wid}
        if len(call.parts) == 1:
            return workflow.about(sees)
        if not sees:
            raise forbidden()
        what, more = call.parts[1], call.parts[2:]
        if what == "logs" and len(more) < 2:
            if more and more[0] not in workflow.clusters:
                raise not_found()
            return workflow.logs(*more)
        if more or what not in ("state", "status", "error"):
            raise not_found()
        if what == "error":
            if workflow.error is not None:
                raise workflow.error
            return None
        if workflow.error is not None:
            return None
        return workflow.status() if what == "status" else dict(workflow.states)

    def _sees(self, user: str, owner: str) -> bool:
        return user == owner or self._tables.almighty(user)

    def _create(self, call: Call, kind: str) -> t.Any:
        given = call.parameters
        nodes = given.nodes(mandatory=True) or []
        if not self.server.database.granted(call.user, nodes):
            raise KadeployError(RIGHTS)
        stop = given.breakpoint()
        given.number("verbose_level", 1, 5)
        environment, description = None, {}
        if kind != "power":
            given.client()
            environment, description = self._environment_of(call)
        elif call.method == "POST":
            raise not_found()
        if kind != "power" and call.method == "PUT":
            raise Crash("RuntimeError", "", "/usr/lib/ruby/kadeploy3/server/kadeploy.rb:99:in `deploy_prepare'")
        job = Job(Load(description), stop=stop)
        automaton = None
        if kind == "deploy":
            if environment is None:
                why = "undefined method `multipart' for nil:NilClass\n\n"
                why += "        if context.environment.multipart\n                              ^^^^^^^^^^"
                raise Crash("NoMethodError", why, "/usr/lib/ruby/kadeploy3/server/kadeploy.rb:43:in `deploy_prepare'")
            image = description["image"]["kind"]
            job.left_out = left_out(call.given, image, description["os"])
            automaton = given.automaton()
        else:
            job.left_out = {"set_vlan"} | (
                set() if call.given.get("ssh_authorized_keys") else {"send_key_in_deploy_env"}
            )
            self._operation(call, kind, job, environment, nodes)
        timeout = given.get("timeout_reboot_classical", str if not self.server.options.modern else object)
        if timeout is not None and re.fullmatch(r"[\d.]+", str(timeout)):
            job.reboot_timeout = float(timeout)
        if call.dry:
            return None
        return self.server.start(kind, call.user, nodes, call.given, job, environment, automaton).created()

    def _operation(self, call: Call, kind: str, job: Job, environment: Json | None, nodes: list[str]) -> None:
        """What a reboot or power operation is to do."""
        given = call.parameters
        job.level = given.get("level", str, default="soft", values=_LEVELS)
        if kind == "power":
            status = (
                given.get("status", str, values=("on", "off"), mandatory=True) if call.method == "PUT" else "status"
            )
            job.operation = status
            return
        job.operation = given.get("kind", str, values=tuple(REBOOTS), mandatory=True)
        if job.operation == "set_pxe" and not (call.given.get("pxe") or {}).get("profile"):
            why = "You must specify a PXE boot profile when rebooting using set_pxe"
            raise KadeployError(MISSING_OPTION, why)
        if job.operation != "recorded_env":
            return
        if given.toggle("check_destructive") and any(self._destroyed(node) for node in nodes):
            raise KadeployError(DESTRUCTIVE)
        if environment is None or environment["id"] < 0:
            why = "You must specify an environment when rebooting using recorded_env"
            raise KadeployError(MISSING_OPTION, why)
        if not (call.given.get("deploy_partition") or call.given.get("deploy_part")):
            why = "You must specify a partition when rebooting using recorded_env"
            raise KadeployError(MISSING_OPTION, why)

    def _destroyed(self, node: str) -> bool:
        row = self.server.database.nodes.get(node)
        known = self.server.database.environment(row["environment"]) if row else None
        return bool(known and known["description"]["destructive"])

    def _environment_of(self, call: Call) -> tuple[Json | None, Json]:
        """The environment that a call names or describes: what is told of it, and its description."""
        given = call.parameters.get("environment", dict)
        if given is None:
            return None, {}
        given = dict(given)
        if not given.get("name"):
            raise KadeployError(OPTION, "mandatory")
        kind = given.pop("kind", "database")
        if kind not in ("anonymous", "database"):
            raise KadeployError(OPTION, "must have a value in (anonymous,database)")
        modern = self.server.options.modern
        if kind == "anonymous":
            description, _unused = check(given, modern=modern, files=self.server.files, client=call.parameters.client())
            told = {"id": -1, "user": call.user, "name": description["name"], "version": description["version"]}
            return told, description
        owner, name, version = given.get("user"), given["name"], given.get("version")
        found = self._tables.visible(call.user, name, owner, version, arch=given.get("arch", ""))
        if not found and owner is None and not modern:
            where = "/usr/lib/ruby/kadeploy3/common/environment.rb:577:in `load_from_db_context'"
            raise Crash("NoMethodError", "private method `select' called for false:FalseClass", where)
        if not found:
            why = f"the environment {name},{'' if version is None else version} of {owner or ''} does not exist"
            raise KadeployError(ENVIRONMENT, why)
        own = [known for known in found if owner is None and known["user"] == call.user]
        known = (own or found)[0]
        about = known["description"]
        told = {"id": known["id"], "user": known["user"], "name": about["name"], "version": about["version"]}
        return told, about


_TEXT = {"Content-Type": 'text/plain; charset="UTF-8"'}
_FRESH = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}


class _Dumper(yaml.SafeDumper):
    """Writes nothing for nothing, as Ruby does."""


_Dumper.add_representer(type(None), lambda dumper, _nothing: dumper.represent_scalar("tag:yaml.org,2002:null", ""))


def _found(result: t.Any, request: Request) -> Answer:
    """What a call has found."""
    if result is None or isinstance(result, str):
        return Answer(200, ((result or "") + "\n").encode(), {**_FRESH, **_TEXT})
    if parameters.wants_yaml(request):
        text = yaml.dump(_symbols(result), Dumper=_Dumper, explicit_start=True, sort_keys=False)
        return Answer(200, text.encode(), {**_FRESH, "Content-Type": 'application/x-yaml; charset="UTF-8"'})
    text = json.dumps(result, indent=2, ensure_ascii=False)
    return Answer(200, text.encode(), {**_FRESH, "Content-Type": 'application/json; charset="UTF-8"'})


def _symbols(result: t.Any) -> t.Any:
    """Workflows have Ruby's symbols as keys."""
    if isinstance(result, list):
        return [_symbols(entry) for entry in result]
    if isinstance(result, dict) and "wid" in result:
        return _marked(result)
    return result


def _marked(result: t.Any) -> t.Any:
    if isinstance(result, dict):
        return {f":{key}": _marked(value) for key, value in result.items()}
    return [_marked(entry) for entry in result] if isinstance(result, list) else result
