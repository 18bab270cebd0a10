"""``kadeploy3``, ``kareboot3`` and ``kapower3``: they ask the server for a workflow and follow it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import typing as t
import urllib.parse
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from .client import COMMON, NODES, REFERENCE, Connection, Export, Failure, choose, read_description, read_lines
from .nodesets import expand_all
from .options_parser import Option, UsageError, parse

Json = dict[str, t.Any]

_WORKFLOW = (
    *COMMON,
    *NODES,
    Option("debug", ("-d", "--[no-]debug-mode")),
    Option("ko_file", ("-n", "--output-ko-nodes"), "yes"),
    Option("ok_file", ("-o", "--output-ok-nodes"), "yes"),
    Option("script", ("-s", "--script"), "yes"),
    Option("verbose", ("-V", "--verbose-level"), "yes", r"^[0-5]$"),
    Option("wid_file", ("--write-workflow-id",), "yes"),
    Option("wait", ("--[no-]wait",)),
    Option("force", ("--[no-]force",)),
    Option("breakpoint", ("--breakpoint",), "yes", r"^\w+(?::\w+)?$"),
    Option("custom", ("--custom-steps",), "yes"),
    Option("hook", ("--[no-]hook",)),
    Option("block_device", ("-b", "--block-device"), "yes", r"^[\w/]+$"),
    Option("key", ("-k", "--key"), "maybe"),
    Option("partition", ("-p", "--partition-number", "--partition"), "yes"),
    Option("env_user", ("-u", "--env-user"), "yes", r"^\w+$"),
    Option("env_version", ("--env-version",), "yes", r"^\d+$"),
    Option("env_arch", ("--env-arch",), "yes"),
    Option("env_name", ("-e", "--env-name"), "yes"),
    Option("vlan", ("--vlan",), "yes"),
    Option("profile", ("-w", "--set-pxe-profile"), "yes"),
    Option("classical", ("--reboot-classical-timeout",), "yes"),
    Option("secure", ("--[no-]secure",)),
)
_OF_POWER = {option.name for option in (*COMMON, *NODES)} | {
    *("debug", "ko_file", "ok_file", "script", "verbose", "wid_file", "wait", "force", "breakpoint", "custom", "hook")
}
_DEPLOY = (
    *_WORKFLOW,
    Option("env_file", ("-a", "--env-file"), "yes"),
    Option("boot_partition", ("-c", "--boot-partition"), "yes", r"^\d+$"),
    Option("reformat", ("-r", "--reformat-tmp"), "yes"),
    Option("no_kexec", ("--no-kexec",)),
    Option("no_bootloader", ("--disable-bootloader-install",)),
    Option("no_partitioning", ("--disable-disk-partitioning",)),
    Option("kexec", ("--reboot-kexec-timeout",), "yes"),
    Option(
        "steps", ("--force-steps",), "yes", r"^SetDeployment\w+\|(?:\w+:\d+:\d+,?)+&BroadcastEnv\|.*&BootNewEnv\|.*$"
    ),
)
_REBOOT = (
    *_WORKFLOW,
    Option("kind", ("-r", "--reboot-kind"), "yes", r"^(set_pxe|simple|deploy_env|recorded_env)$"),
    Option("level", ("-l", "--op-level"), "yes", r"^(soft|hard|very_hard)$"),
    Option("destructive", ("-c", "--check-destructive-tag")),
)

_POWER = (
    *(option for option in _WORKFLOW if option.name in _OF_POWER),
    Option("level", ("-l", "--op-level"), "yes", r"^(soft|hard|very_hard)$"),
    Option("off", ("--off",)),
    Option("on", ("--on",)),
    Option("status", ("--status",)),
)


class _Given(defaultdict[str, t.Any]):
    """The options of a command; what was not given is false."""

    def __init__(self, options: t.Sequence[Option], arguments: t.Sequence[str]) -> None:
        super().__init__(bool)
        try:
            found, self.rest = parse(options, arguments)
        except UsageError as error:
            raise Failure(f"Option parsing error: {error}") from None
        for name, value in found:
            if name.endswith("[]"):
                self[name] = [*(self[name] or []), value]
            else:
                self[name] = value


def kadeploy3(arguments: t.Sequence[str]) -> int:
    """Deploy."""
    given = _Given(_DEPLOY, arguments)
    nodes = _nodes(given)
    early = _early(given)
    connection = Connection(given["server"] or "", given["password"] or "")
    description = read_description(given["env_file"], connection.modern) if given["env_file"] else None
    if given["version"]:
        print(connection.version)
        return 0
    _reference(given, connection, 0)
    nodes = _check(given, connection, nodes)
    if description is None and not given["env_name"]:
        raise Failure("You must choose an environment")
    _known(connection, nodes)
    export = Export()
    if description is not None:
        environment: Json = {"kind": "anonymous", **export.description(description)}
    else:
        found = _environment(given, connection)
        export.description(found)
        environment = {key: found[key] for key in ("user", "name", "version", "arch") if key in found}
        environment |= {"kind": "database", "version": str(found["version"])}
    body = _body(given, nodes, environment, connection.modern)
    if early:
        body["ssh_authorized_keys"] = export.local(early)
    for option, key in (
        ("boot_partition", "boot_partition"),
        ("reformat", "reformat_tmp_partition"),
        ("no_kexec", "disable_kexec"),
        ("no_bootloader", "disable_bootloader_install"),
        ("no_partitioning", "disable_disk_partitioning"),
        ("kexec", "timeout_reboot_kexec"),
    ):
        if given[option]:
            body[key] = int(given[option]) if option == "boot_partition" else given[option]
    if given["steps"]:
        body["automata"] = _steps(given["steps"])
    return _follow(connection, "/deployment", "Deployment", given, body, export)


def kareboot3(arguments: t.Sequence[str]) -> int:
    """Reboot."""
    given = _Given(_REBOOT, arguments)
    nodes = _nodes(given)
    early = _early(given)
    connection = Connection(given["server"] or "", given["password"] or "")
    if given["version"]:
        print(connection.version)
        return 0
    if connection.modern and given.rest:
        given["kind"] = given.rest.pop(0)
    _reference(given, connection, 0)
    nodes = _check(given, connection, nodes)
    kind = given["kind"] or "simple"
    if kind == "set_pxe" and not given["profile"]:
        raise Failure("The set_pxe reboot must be used with the -w option")
    if kind == "recorded_env" and not given["env_name"]:
        raise Failure("An environment must be specified must be with the recorded_env kind of reboot")
    if kind == "recorded_env" and not given["partition"]:
        raise Failure("A partition number must be specified must be with the recorded_env kind of reboot")
    if given["key"] and kind != "deploy_env":
        raise Failure("The -k option can be only used with the deploy_env reboot kind")
    for option, flag in (("env_name", "-e"), ("env_user", "-u"), ("env_version", "--env-version")):
        if given[option] and kind != "recorded_env":
            raise Failure(f"The {flag} option can be only used with the recorded_env reboot kind")
    _known(connection, nodes)
    environment = None
    if given["env_name"]:
        found = _environment(given, connection)
        environment = {"user": found["user"], "name": found["name"], "version": str(found["version"])}
    export = Export()
    body = _body(given, nodes, environment, connection.modern) | {"kind": kind}
    if given["level"]:
        body["level"] = given["level"]
    if given["destructive"]:
        body["check_destructive"] = True
    if early:
        body["ssh_authorized_keys"] = export.local(early)
    return _follow(connection, "/reboot", "Reboot operation", given, body, export)


def kapower3(arguments: t.Sequence[str]) -> int:
    """Switch nodes on and off, or ask whether they are on."""
    given = _Given(_POWER, arguments)
    nodes = _nodes(given)
    _early(given)
    connection = Connection(given["server"] or "", given["password"] or "")
    if given["version"]:
        print(connection.version)
        return 0
    nodes = _check(given, connection, nodes)
    chosen = [name for name in given if name in ("on", "off", "status")]
    if not chosen:
        raise Failure("No operation is chosen")
    if given["level"] and chosen[-1] == "status":
        raise Failure("Specifying the level is useless with the status operation")
    _known(connection, nodes)
    path, method = "/power", "PUT"
    body = _body(given, nodes, None, connection.modern)
    if chosen[-1] == "status":
        path, method = f"/power?{urllib.parse.urlencode([('nodes', node) for node in nodes])}", "GET"
    else:
        body |= {"status": chosen[-1], **({"level": given["level"]} if given["level"] else {})}
    return _follow(connection, path, "Power operation", given, body, Export(), method)


def _nodes(given: _Given) -> list[str]:
    """Names on the command line, in files, each once."""
    words = [word for path in given["file[]"] or [] for word in read_lines(path)] + (given["machine[]"] or [])
    for word in words:
        if not re.fullmatch(r"[A-Za-z0-9.\-\[\],]*", word.strip()):
            raise Failure(f"Invalid hostname: {word}")
    return list(dict.fromkeys(expand_all(word for word in words if word.strip())))


def _early(given: _Given) -> str:
    """What is done while options are read, in their order: output files are emptied, the key is looked for."""
    found = ""
    for name, value in list(given.items()):
        if name in ("ok_file", "ko_file", "wid_file"):
            try:
                Path(value).write_text("")
            except OSError:
                raise Failure(f"Cannot create the file '{value}'") from None
        elif name == "key":
            found = _key(os.path.expanduser("~/.ssh/authorized_keys") if value is True else value)
    return found


def _key(name: str) -> str:
    if re.match(r"(server|https?)://", name):
        return name
    path = os.path.abspath(os.path.expanduser(name.removeprefix("local://")))
    if not os.access(path, os.R_OK):
        raise Failure(f"The file {path} cannot be read")
    return path


def _reference(given: _Given, connection: Connection, position: int) -> None:
    """``name@user:version%arch``, also as an argument of its own, from 3.9 on."""
    if not connection.modern:
        return
    word = given["env_name"] or (given.rest[position] if len(given.rest) > position else "")
    match = REFERENCE.match(word) if word else None
    if match is None:
        return
    given["env_name"] = match["name"]
    for key in ("user", "version", "arch"):
        given[f"env_{key}"] = given[f"env_{key}"] or match[key] or False


def _check(given: _Given, connection: Connection, nodes: list[str]) -> list[str]:
    """What Kadeploy's client checks of every workflow; the nodes."""
    if not nodes and connection.modern and os.environ.get("OAR_NODEFILE"):
        nodes = list(dict.fromkeys(read_lines(os.environ["OAR_NODEFILE"])))
    if not nodes:
        raise Failure("No node is chosen")
    if given["ok_file"] and given["ok_file"] == given["ko_file"]:
        raise Failure("The files used for the output of the OK and the KO nodes cannot be the same")
    if "wait" in given and not given["wait"] and (given["ok_file"] or given["ko_file"]):
        raise Failure("-o/--output-ok-nodes and/or -n/--output-ko-nodes cannot be used with --no-wait")
    if given["verbose"] == "0":
        raise Failure("Invalid verbose level")
    return nodes


def _known(connection: Connection, nodes: list[str]) -> None:
    """Refuse nodes that no server has."""
    known = connection.call("GET", "/nodes?list=true")
    together = set(known)
    gone = [node for node in nodes if node not in together and not any(node in name for name in known)]
    if gone:
        raise Failure(f"The nodes {', '.join(gone)} does not belongs to any server")


def _environment(given: _Given, connection: Connection) -> Json:
    """The registered environment that is meant."""
    found = connection.find_environments(
        username=given["env_user"],
        name=given["env_name"],
        version=given["env_version"],
        arch=given["env_arch"],
    )
    if not found:
        raise Failure(f"The environment '{given['env_name']}' does not exist")
    return choose(found, connection.user, given["env_user"] or "")[0]


def _body(given: _Given, nodes: list[str], environment: Json | None, modern: bool) -> Json:
    """What deployments and reboots have in common."""
    body: Json = {"nodes": nodes}
    if environment is not None:
        body["environment"] = environment
    if given["verbose"]:
        body["verbose_level"] = int(given["verbose"])
    for option, key in (
        ("force", "force"),
        ("breakpoint", "breakpoint"),
        ("hook", "hook"),
        ("dry_run", "dry_run"),
        ("block_device", "block_device"),
        ("partition", "deploy_part" if modern else "deploy_partition"),
        ("vlan", "vlan"),
        ("classical", "timeout_reboot_classical"),
    ):
        if given[option]:
            body[key] = given[option]
    if given["profile"]:
        body["pxe"] = {"profile": "\n".join(read_lines(given["profile"]))}
    return body


def _steps(text: str) -> Json:
    """The ways of ``--force-steps``."""
    found: Json = {}
    for macro in text.split("&"):
        name, _bar, ways = macro.partition("|")
        split = [way.split(":") for way in ways.split(",") if way]
        found[name] = [{"name": way, "retries": int(tries), "timeout": int(end)} for way, tries, end in split]
    return found


def _follow(
    connection: Connection, path: str, title: str, given: _Given, body: Json, export: Export, method: str = "POST"
) -> int:
    """Start a workflow and tell of it to its end."""
    waits = given.get("wait", True)
    client = export.begin()
    if client and not waits:
        files = "\n  ".join(export.names())
        raise Failure(f"Cannot use --no-wait since some files have to be exported to the server:\n  {files}")
    if client:
        body["client"] = client
    made = connection.call(method, path, body if method != "GET" else None)
    if given["dry_run"]:
        return 0
    wid, where = made["wid"], made["resources"]["resource"].rstrip("/")
    if given["wid_file"]:
        Path(given["wid_file"]).write_text(wid)
    if not waits:
        print(f"{wid} {where}/")
        return 0

    def interrupted(*_dummy: t.Any) -> None:
        print("\nSIGINT trapped")
        connection.call("DELETE", where)
        os._exit(1)

    signal.signal(signal.SIGINT, interrupted)
    print(f"{title} #{wid} started")
    try:
        about = _watch(connection, where)
    except Failure:
        with suppress(Failure):
            connection.call("DELETE", where)
        raise
    print(f"{title} #{wid} done\n")
    states = connection.call("GET", f"{where}/state")
    connection.call("DELETE", where)
    _tell(title.lower(), about["nodes"], states, given)
    if given["script"]:
        print(f"\nRunning {given['script']}\n")
        failed = subprocess.run([os.path.abspath(given["script"])], check=False).returncode
        print("\nFail !" if failed else "\nSuccess !")
    return 0


def _watch(connection: Connection, where: str) -> Json:
    """The lines of a workflow, until it is done."""
    while True:
        about: Json = connection.call("GET", where)
        if about.get("logs"):
            lines = [line for line in connection.text("GET", f"{where}/logs").splitlines() if line]
            lines.sort(key=lambda line: float(line.split("|")[0]))
            for line in lines:
                print(line.split("|", 1)[1])
        time.sleep(connection.pace)
        if about["done"]:
            break
    if about["error"]:
        connection.call("GET", f"{where}/error")
    return about


def _tell(title: str, nodes: Json, states: Json, given: _Given) -> None:
    """Who is through, and who is not."""
    if nodes["ok"]:
        print(f"The {title} is successful on nodes")
        print("\n".join(nodes["ok"]))
        if given["ok_file"]:
            Path(given["ok_file"]).write_text("".join(f"{node}\n" for node in nodes["ok"]))
    if nodes["ko"]:
        print(f"The {title} failed on nodes")
        for node in nodes["ko"]:
            print(f"{node} ({states.get(node, {}).get('error', '')})")
        if given["ko_file"]:
            Path(given["ko_file"]).write_text("".join(f"{node}\n" for node in nodes["ko"]))
