"""The nodes of one cluster on their way through macrosteps and microsteps (``automata.rb``, ``workflow.rb``).

Nodes that fail in a step leave the others, which go on: each set of nodes has a number. A set that failed tries the
same macrostep again, or the next way through it, or has failed. A macrostep counts its retries over all sets of it.
"""

from __future__ import annotations

import math
import threading
import typing as t
from dataclasses import dataclass, field

from .clock import Cancelled, Clock
from .faults import Faults
from .machines import Load, Machine, System
from .nodesets import fold, ordered
from .options import Automaton, ClusterOptions
from .steps import REMOTE, STEPS
from .workflow import Part, Workflow

#: Seconds between two looks of Kadeploy's at what it runs.
_PITCH = 0.5
_OPERATIONS = {"deploy": "deployment", "reboot": "reboot", "power": "power operation"}
_LEVELS = ("soft", "hard", "very_hard")


class _Over(Exception):
    """The time of a macrostep is over."""


@dataclass
class Macro:
    """A macrostep that some nodes go through.

    :param index: which of the workflow
    :param way: which of the ways through it
    """

    index: int
    way: int
    nodes: list[str]
    retries: int
    name: str
    timeout: float
    begun: float
    spent: float = 0


@dataclass
class Job:
    """What all clusters of a workflow do.

    :param load: what is deployed
    :param left_out: microsteps that have nothing to do
    :param operation: of a reboot (``simple``…) or power operation (``on``…)
    :param level: of a reboot: ``soft``, ``hard`` or ``very_hard``
    :param stop: macrostep and microstep before which nodes stay
    :param reboot_timeout: instead of the cluster's
    """

    load: Load
    left_out: set[str] = field(default_factory=set)
    operation: str = ""
    level: str = "soft"
    stop: tuple[str, str] | None = None
    reboot_timeout: float | None = None


class Run:
    """:param settle: told of nodes that ended: ``ok`` or ``ko``"""

    def __init__(
        self,
        workflow: Workflow,
        part: Part,
        options: ClusterOptions,
        automaton: Automaton,
        machines: t.Mapping[str, Machine],
        job: Job,
        faults: Faults,
        clock: Clock,
        settle: t.Callable[[list[str], str], None],
    ) -> None:
        self.workflow = workflow
        self.part = part
        self._options = options
        self._automaton = automaton
        self._machines = machines
        self._job = job
        self._faults = faults
        self._clock = clock
        self._settle = settle
        self._sets = 0
        self._threads: list[threading.Thread] = []
        self._lock = threading.RLock()
        self._errors: dict[str, str] = {}
        self._began = workflow.now()
        #: Seconds that the longest way took, as it counts.
        self._spent = 0.0
        self.failure: Exception | None = None

    # The workflow of the cluster

    def run(self) -> None:
        """To the end."""
        self._begin(0, 0, self.part.nodes, -1, 0, 0.0)
        while True:
            with self._lock:
                running = [thread for thread in self._threads if thread.is_alive()]
            if not running:
                break
            running[0].join()
        if self.failure is not None:
            return
        operation = _OPERATIONS[self.workflow.kind]
        self.part.output.push(0, f"End of {operation} on cluster {self.part.cluster} after {int(self._spent)}s")
        self.part.done = True

    def _begin(self, index: int, way: int, nodes: list[str], nodeset: int, retries: int, begun: float) -> Macro:
        name, _retries, timeout = self._automaton[index][1][way]
        macro = Macro(index, way, list(nodes), retries, name, timeout, begun)
        thread = threading.Thread(target=self._guarded, args=(macro, nodeset), daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()
        return macro

    def _guarded(self, macro: Macro, nodeset: int) -> None:
        try:
            self._through(macro, nodeset)
        except Exception as error:
            self.failure = error
            if not isinstance(error, Cancelled):
                raise
        finally:
            self.part.stage.pop(id(macro), None)
            with self._lock:
                self._spent = max(self._spent, macro.begun + macro.spent)

    def _through(self, macro: Macro, nodeset: int) -> None:
        """All microsteps, with those that are left."""
        title = f"{self.workflow.kind.capitalize()}[{macro.name}]"
        say = self.part.output.push
        if self._stops(macro.name, ""):
            return self._stay(macro.nodes, nodeset)
        say(1, f"Performing a {title} step", nodeset)
        steps = [step for step in STEPS[macro.name] if step not in self._job.left_out]
        nodes = list(macro.nodes)
        for number, step in enumerate(steps):
            if self._stops(macro.name, step):
                say(2, f"*** Breakpoint on {step} reached for {fold(nodes)}", nodeset)
                say(1, f"Step {title} breakpointed", nodeset)
                return self._stay(nodes, nodeset)
            self.part.stage[id(macro)] = (macro.name, step, nodes, self.workflow.now())
            try:
                errors, tells = self._perform(macro, step, nodes, nodeset)
            except _Over:
                say(1, f"Timeout in the {macro.name} step, let's kill the instance", nodeset)
                self._errors |= dict.fromkeys(nodes, f"Timeout in the {macro.name} step")
                self.workflow.set_state(nodes, "ko")
                return self._failed(macro, nodes, nodeset)
            self._errors |= errors
            bad = [node for node in nodes if node in errors]
            good = [node for node in nodes if node not in errors]
            last = number + 1 == len(steps)
            bad_set = nodeset
            if bad and tells:
                say(2, f"!!! The nodes {fold(bad)} failed on step {step}", nodeset)
                say(1, f"Step {title} failed for {fold(bad)} after {round(macro.spent)}s", nodeset)
            old = nodeset
            if bad and good:
                nodeset, bad_set = self._split(nodeset, good, bad)
            if last and good:
                say(1, f"End of step {title} after {round(macro.spent)}s", old)
                self._passed(macro, good, nodeset)
            if bad:
                self._failed(macro, bad, bad_set)
            if not good:
                return None
            nodes = good
        if not steps:
            self._passed(macro, nodes, nodeset)
        return None

    def _split(self, nodeset: int, good: list[str], bad: list[str]) -> tuple[int, int]:
        """New numbers for those that go on, and those that do not."""
        with self._lock:
            first, second = self._sets + 1, self._sets + 2
            self._sets = second
        output = self.part.output
        for line in (
            "---",
            f"Nodeset {output.mark(nodeset) or '[0] '}split into :",
            f"  {output.mark(first)}{fold(good)}",
            f"  {output.mark(second)}{fold(bad)}",
            "---",
        ):
            output.push(1, line, nodeset)
        return first, second

    def _stops(self, macro: str, step: str) -> bool:
        stop = self._job.stop
        if stop is None or stop[1] != step:
            return False
        return macro == stop[0] or any(
            name == stop[0] and macro in [way[0] for way in ways] for name, ways in self._automaton
        )

    def _stay(self, nodes: list[str], nodeset: int) -> None:
        """At a breakpoint."""
        self.workflow.set_ok(nodes, "brk")
        self.part.ok += nodes
        self._settle(nodes, "ok")
        self.part.output.push(1, f"Breakpoint reached for {fold(nodes)}", nodeset)

    def _passed(self, macro: Macro, nodes: list[str], nodeset: int) -> None:
        if macro.index + 1 < len(self._automaton):
            macro.retries = 0
            self._begin(macro.index + 1, 0, nodes, nodeset, 0, macro.begun + macro.spent)
            return
        self.workflow.set_ok(nodes)
        self.part.ok += nodes
        self._settle(nodes, "ok")
        after = round(macro.begun + macro.spent)
        self.part.output.push(1, f"End of {_OPERATIONS[self.workflow.kind]} for {fold(nodes)} after {after}s")

    def _failed(self, macro: Macro, nodes: list[str], nodeset: int) -> None:
        ways = self._automaton[macro.index][1]
        begun = macro.begun + macro.spent
        if macro.retries < ways[macro.way][1]:
            macro.retries += 1
            self._begin(macro.index, macro.way, nodes, nodeset, macro.retries, begun)
        elif macro.way + 1 < len(ways):
            macro.retries = 0
            self._begin(macro.index, macro.way + 1, nodes, nodeset, 0, begun)
        else:
            for node in nodes:
                where = self.workflow.states[node]
                error = f"{where.get('macro')}-{where.get('micro')}: {self._errors[node]}"
                self.workflow.set_state([node], "ko", error=error)
            self.part.ko += nodes
            self._settle(nodes, "ko")

    # Microsteps

    def _sleep(self, macro: Macro, seconds: float) -> None:
        """Time passes, and with it that of the macrostep."""
        left = macro.timeout - macro.spent if macro.timeout else math.inf
        self._clock.sleep(min(seconds, left), self.workflow.cancelled)
        macro.spent += min(seconds, left)
        if seconds >= left:
            raise _Over

    def _perform(self, macro: Macro, step: str, nodes: list[str], nodeset: int) -> tuple[dict[str, str], bool]:
        """One microstep: the errors, and whether they are told of."""
        began = macro.spent
        self.workflow.set_state(nodes, "ok", macro.name, step)
        self.part.output.push(3, f"  {step}", nodeset)
        errors: dict[str, str] = {}
        always = False
        if step == "wait_reboot":
            errors = self._wait(macro, nodes)
        else:
            seconds = self._options.duration(step)
            for node in nodes:
                slow = self._faults.meet(node, "slow", step=step)
                seconds += slow["seconds"] if slow else 0
                if self._faults.meet(node, "hang", step=step):
                    self._sleep(macro, math.inf if macro.timeout else 1e9)
            errors, always = self._do(macro, step, nodes, nodeset)
            self._sleep(macro, math.ceil(seconds / _PITCH) * _PITCH)
        if step == "send_environment" and len(errors) < len(nodes):
            self.part.output.push(3, f"   * Broadcast time: {int(macro.spent - began)}s", nodeset)
        for node in nodes:
            failed = self._faults.meet(node, "fail", step=step)
            if failed:
                errors[node] = str(failed.get("error", f"{step} failed\n"))
        if errors:
            self.workflow.set_state(errors, "ko")
        self.part.output.push(4, f"   ~ Time in {step}: {int(macro.spent - began)}s", nodeset)
        return errors, always or len(errors) < len(nodes)

    def _do(self, macro: Macro, step: str, nodes: list[str], nodeset: int) -> tuple[dict[str, str], bool]:
        machines = [self._machines[node] for node in nodes]
        if step == "reboot":
            level = self._job.level if self.workflow.kind == "reboot" else "hard" if "Hard" in macro.name else "soft"
            if self.workflow.kind == "deploy" and macro.retries and level == "soft":
                level = "hard"
            return self._escalate("reboot", level, nodes, nodeset, Machine.reset), True
        if step == "power":
            return self._power(nodes, nodeset)
        if step == "switch_pxe":
            for machine in machines:
                machine.network_boot = "SetDeployment" in macro.name or macro.name == "DeployEnv"
        if step in ("kexec", "reboot_from_deploy_env", "dummy"):
            gone = {} if step == "dummy" else self._gone(macro, machines)
            system: System = "deploy" if "SetDeployment" in macro.name else "user"
            for machine in machines:
                if machine.name not in gone and step != "dummy":
                    machine.boot(system)
            return gone, False
        if step in REMOTE:
            return {}, False
        errors = self._gone(macro, machines)
        errors |= self._work(step, [machine for machine in machines if machine.name not in errors])
        return errors, False

    def _gone(self, macro: Macro, machines: list[Machine]) -> dict[str, str]:
        """Machines on which no command can be run."""
        before = macro.name == "SetDeploymentMiniOSTrusted"
        found = [m.name for m in machines if not m.running or (m.running != "deploy" and not before)]
        return dict.fromkeys(found, "TAKTUK-ERROR-state: connection failed\n")

    def _work(self, step: str, machines: list[Machine]) -> dict[str, str]:
        """The same on the disks of all machines, a few at a time."""
        errors: dict[str, str] = {}

        def one(machine: Machine) -> None:
            error = machine.work(step, self._job.load)
            if error:
                errors[machine.name] = error

        if all(machine.pretends for machine in machines):
            for machine in machines:
                one(machine)
            return errors
        for first in range(0, len(machines), 8):
            threads = [threading.Thread(target=one, args=(machine,)) for machine in machines[first : first + 8]]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        return errors

    def _escalate(
        self, what: str, level: str, nodes: list[str], nodeset: int, act: t.Callable[[Machine, str], str]
    ) -> dict[str, str]:
        """Softly, then less so."""
        errors: dict[str, str] = {}
        left = ordered(nodes)
        for current in _LEVELS[_LEVELS.index(level) :]:
            self.part.output.push(3, f"   * Performing a {current} {what} on {fold(left)}", nodeset)
            found = {node: act(self._machines[node], current) for node in left}
            errors = {node: error for node, error in found.items() if error}
            left = [node for node in left if node in errors]
            if not left:
                break
        return errors

    def _power(self, nodes: list[str], nodeset: int) -> tuple[dict[str, str], bool]:
        operation = self._job.operation
        if operation == "status":
            self.part.output.push(3, "   * A power status will be performed", nodeset)
            errors = {}
            for node in nodes:
                if self._faults.meet(node, "bmc_silent"):
                    errors[node] = "bmc does not answer"
                    continue
                with self.workflow.lock:
                    self.workflow.states[node]["out"] = "on" if self._machines[node].on else "off"
            return errors, True
        on = operation == "on"

        def act(machine: Machine, _level: str) -> str:
            return machine.power(on)

        return self._escalate(f"power_{operation}", self._job.level, nodes, nodeset, act), True

    def _wait(self, macro: Macro, nodes: list[str]) -> dict[str, str]:
        """Until machines are there again, or too long."""
        self.workflow.set_state(nodes, "reboot_in_progress")
        wanted: set[System] = (
            {"deploy"} if "SetDeployment" in macro.name or macro.name == "DeployEnv" else {"user", "prod"}
        )
        timeout = self._job.reboot_timeout or self._options.reboot_timeout
        waited = self._options.before_ping
        missing = list(nodes)
        self._sleep(macro, waited)
        while missing and waited < timeout:
            self._sleep(macro, 5)
            waited += 5
            here = {n for n in missing if any(self._machines[n].answers(system, waited) for system in wanted)}
            self.workflow.set_state(here, "rebooted")
            missing = [node for node in missing if node not in here]
        self._sleep(macro, _PITCH)
        return dict.fromkeys(missing, "Unreachable after the reboot")
