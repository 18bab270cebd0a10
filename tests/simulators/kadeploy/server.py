"""The server: its parts, and who runs what (``server.rb``)."""

from __future__ import annotations

import secrets
import threading
import typing as t
import urllib.request
from pathlib import Path

from .automata import Job, Run
from .cache import Cache
from .clock import Cancelled, Clock
from .database import Database
from .descriptions import check
from .errors import EXECUTE, FILE, NOTHING_MODIFIED, WORKFLOW, KadeployError
from .faults import Faults
from .files import Files
from .machines import Machine
from .nodesets import expand_all, fold
from .options import Automaton, Options
from .steps import REBOOTS
from .workflow import Part, Workflow

Json = dict[str, t.Any]
#: Makes a machine of its name and the seconds that its boot takes.
MakeMachine = t.Callable[[str, Faults, float], Machine]

_NAMES = {"deploy": "deployment", "reboot": "reboot", "power": "power operation"}
_DONE = {"ok": {"deploy": "deployed", "reboot": "rebooted", "power": "powered"}}
_DONE["ko"] = {"deploy": "deploy_failed", "reboot": "reboot_failed", "power": "power_failed"}
#: Kadeploy looks this often, in seconds, whether clusters have ended.
_PITCH = 1.0


class Kadeploy:
    """:param state: directory of everything"""

    def __init__(self, state: Path, options: Options, make_machine: MakeMachine = Machine) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.state = state
        self.options = options
        self.faults = Faults(state)
        self.files = Files(state)
        self.database = Database(state)
        self.clock = Clock(options.pace)
        self.clusters = {name: cluster.names for name, cluster in options.clusters.items()}
        self.cluster_of = {node: name for name, nodes in self.clusters.items() for node in nodes}
        self.machines = {
            node: make_machine(node, self.faults, options.clusters[name].boot_seconds)
            for node, name in self.cluster_of.items()
        }
        self.workflows: dict[str, Workflow] = {}
        self.lock = threading.RLock()
        self._cache = Cache(options.cache_bytes)
        self._grabbed: set[tuple[str, str, str]] = set()
        if self.database.fresh:
            self._first_start()

    def _first_start(self) -> None:
        """What the options say: rights, environments, in the cache already; and files that only pretend."""
        for user, words in self.options.rights.items():
            self.database.rights[user] = {node: ["*"] for node in expand_all(words)}
        for name in ("test.tgz", "post.tgz", "keys.pub"):
            path = self.state / "files/srv/images" / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        for given in self.options.environments:
            description, _unused = check(
                {key: value for key, value in given.items() if key != "user"}, modern=self.options.modern, files=None
            )
            self.database.add_environment(description, given["user"])
            self._grabbed.add((description["image"]["file"], description["name"], str(description["version"])))
        self.database.save()

    # Workflows

    def find(self, wid: str, kind: str) -> Workflow:
        """A workflow that is not forgotten."""
        with self.lock:
            self._clean()
            workflow = self.workflows.get(wid)
        if workflow is None or workflow.kind != kind:
            raise KadeployError(WORKFLOW)
        return workflow

    def list(self, kind: str) -> list[Workflow]:
        """All workflows of a kind."""
        with self.lock:
            self._clean()
            return [workflow for workflow in self.workflows.values() if workflow.kind == kind]

    def _clean(self) -> None:
        for wid, workflow in list(self.workflows.items()):
            if workflow.over and self.clock.since(workflow.started) > self.options.autoclean_seconds:
                del self.workflows[wid]

    def start(
        self,
        kind: str,
        user: str,
        nodes: list[str],
        body: Json,
        job: Job,
        environment: Json | None,
        automaton: Automaton | None,
    ) -> Workflow:
        """Begin a workflow, in a thread."""
        clusters: dict[str, list[str]] = {}
        for node in nodes:
            clusters.setdefault(self.cluster_of[node], []).append(node)
        level = body.get("verbose_level") or 3
        workflow = Workflow(kind, user, nodes, clusters, body, environment, level, self.options.pace)
        with self.lock:
            self.workflows[workflow.wid] = workflow
        threading.Thread(target=self._run, args=(workflow, job, automaton), daemon=True).start()
        return workflow

    def _run(self, workflow: Workflow, job: Job, automaton: Automaton | None) -> None:
        try:
            if workflow.kind != "power":
                self._grab(workflow, job)
            self._run_parts(workflow, job, automaton)
            self.clock.sleep(_PITCH, workflow.cancelled)
            if job.operation == "status":
                states = [f"{node}: {workflow.states[node]['out']}" for part in workflow.parts for node in part.ok]
                for line in ("---", *states, "---"):
                    workflow.output.push(0, line)
            workflow.finish()
        except Cancelled:
            pass
        except KadeployError as error:
            self._abort(workflow)
            workflow.fail(error)
        except Exception as error:
            workflow.fail(KadeployError(EXECUTE, repr(error)))
            raise
        finally:
            self._cache.free(workflow.wid)
        if workflow.body.get("hook"):
            self._tell(workflow)

    def _run_parts(self, workflow: Workflow, job: Job, automaton: Automaton | None) -> None:
        if len(workflow.parts) > 1:
            head = ["---", "Clusters involved in the operation:"]
            marks = [f"  {part.output.mark()}: {part.cluster}" for part in workflow.parts]
            for line in (*head, *marks, "---"):
                workflow.output.push(0, line)
        runs = []
        empty = False
        for part in workflow.parts:
            empty = self._occupy(workflow, part) or empty
            cluster = self.options.clusters[part.cluster]
            steps = automaton or (cluster.steps if workflow.kind == "deploy" else self._single(workflow, job))

            def settle(nodes: list[str], how: str) -> None:
                if not workflow.cancelled.is_set():
                    self.database.set_state(nodes, self._end_state(workflow, job, how), workflow.user)

            machines, faults = self.machines, self.faults
            runs.append(Run(workflow, part, cluster, steps, machines, job, faults, self.clock, settle))
        if empty:
            self.clock.sleep(_PITCH, workflow.cancelled)
            raise KadeployError(NOTHING_MODIFIED, "All the nodes have been discarded ...")
        threads = [threading.Thread(target=run.run, daemon=True) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for run in runs:
            if run.failure is not None:
                raise run.failure

    @staticmethod
    def _single(workflow: Workflow, job: Job) -> Automaton:
        """Reboots and power operations are one macrostep."""
        name = REBOOTS[job.operation] if workflow.kind == "reboot" else job.operation.capitalize()
        return [(workflow.kind.capitalize(), [(name, 0, 0.0)])]

    @staticmethod
    def _end_state(workflow: Workflow, job: Job, how: str) -> str:
        """The state of nodes that are through."""
        if how == "ok" and workflow.kind == "reboot" and job.operation in ("deploy_env", "recorded_env"):
            return job.operation
        return _DONE[how][workflow.kind]

    def _occupy(self, workflow: Workflow, part: Part) -> bool:
        """Nodes that are busy are left out; whether none is left."""
        operation = _NAMES[workflow.kind]
        part.output.push(0, f"Launching a {operation} on {fold(part.nodes)}")
        with self.database.lock:
            force = workflow.body.get("force", False) not in (False, None)
            gone = [
                node
                for node in part.nodes
                if (not force and self.database.busy(node, self.options.purge_seconds))
                or self.faults.meet(node, "lost") is not None
            ]
            if gone:
                text = f"The nodes {fold(gone)} are already involved in {operation}, let's discard them"
                part.output.push(0, text)
                workflow.set_state(gone, "discarded")
                part.nodes = [node for node in part.nodes if node not in gone]
            number = workflow.environment["id"] if workflow.environment else None
            self.database.set_state(part.nodes, f"{workflow.kind}ing", workflow.user, number)
        return not part.nodes

    # Files

    def _grab(self, workflow: Workflow, job: Job) -> None:
        """Fetch the files, and say so of those that are not there yet."""
        client = workflow.body.get("client", "")
        directory = self.state / "cache" / workflow.wid
        wanted = [("key", workflow.body.get("ssh_authorized_keys", ""), True)]
        about = job.load.description
        anonymous = (workflow.environment or {}).get("id") == -1
        posts = []
        if workflow.kind == "deploy":
            wanted.append(("tarball", about["image"]["file"], anonymous))
            if "preinstall" in about:
                wanted.append(("preinstall", about["preinstall"]["archive"], anonymous))
            wanted += [("postinstall", entry["archive"], anonymous) for entry in about.get("postinstalls", ())]
        for number, (tag, uri, always) in enumerate(entry for entry in wanted if entry[1]):
            key = (uri, str(about.get("name")), str(about.get("version")))
            directory.mkdir(parents=True, exist_ok=True)
            path = self.files.grab(uri, client, directory / f"{number}-{secrets.token_hex(2)}")
            self._cache.take((uri, workflow.wid) if always else key, path.stat().st_size, workflow.wid)
            if always or key not in self._grabbed:
                self._grabbed.add(key)
                said = uri if not uri.startswith("local://") else uri.removeprefix("local://")
                workflow.output.push(3, f"Grab the {tag} file {said}")
            if tag == "key":
                try:
                    job.load.keys = path.read_text()
                except ValueError as error:
                    raise KadeployError(FILE, f"Unable to grab the file {uri} ({error})") from error
            elif tag == "tarball":
                job.load.image = path
            elif tag == "postinstall":
                posts.append(path)
        job.load.postinstalls = [
            (path, entry["script"]) for path, entry in zip(posts, about.get("postinstalls", ()), strict=True)
        ]

    # Ends

    def delete(self, workflow: Workflow) -> None:
        """Cancel it if it runs, and forget it."""
        with self.lock:
            self.workflows.pop(workflow.wid, None)
        if not workflow.over:
            workflow.cancelled.set()
            self._abort(workflow)

    def _abort(self, workflow: Workflow) -> None:
        workflow.cancelled.set()
        nodes = [node for part in workflow.parts for node in part.nodes]
        if nodes:
            self.database.set_state(nodes, "aborted", workflow.user)
        workflow.output.push(0, f"{_NAMES[workflow.kind].capitalize()} aborted")

    def withdraw(self, user: str, nodes: t.Sequence[str] | None) -> Json:
        """Take rights away, and end what a user does on nodes that are lost."""
        told, lost = self.database.withdraw(user, nodes)
        gone = set(self.cluster_of if "*" in lost else lost)
        with self.lock:
            doomed = [w for w in self.workflows.values() if w.user == user and gone & set(w.nodes)]
        for workflow in doomed:
            self.delete(workflow)
        return told

    def _tell(self, workflow: Workflow) -> None:
        """The hook at the end of a deployment."""
        hook = self.database.hook
        if workflow.kind != "deploy" or not hook:
            return
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(hook.replace("WORKFLOW_ID", workflow.wid), method="PUT")
        try:
            opener.open(request, timeout=20).close()
        except OSError as error:
            print(f"the hook of {workflow.wid} failed: {error}", flush=True)

    def stop(self) -> None:
        """End all workflows, and all machines."""
        with self.lock:
            running = list(self.workflows.values())
        for workflow in running:
            workflow.cancelled.set()
        for machine in self.machines.values():
            machine.remove()
