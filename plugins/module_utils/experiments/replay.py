# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to build and run an experiment again: ``replay.yml``. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import re
import shutil
import typing as t
from dataclasses import dataclass, replace

from ..files import write_text
from ..model import codec
from . import strict_yaml
from .trials import Subject

PLAYBOOK = """\
# The experiment {name} once more, with the compositions and deployment files that it was run with:
#     ansible-playbook -i {directory}/replay/inventory {directory}/replay.yml
# Further sources (-i) are needed where the deployments took variables or hosts from others.
- name: Run the experiment again
  hosts: localhost
  connection: local
  gather_facts: false
  roles:
    - role: immutable.compose.experiment
      vars:
        experiment_file: "{{{{ playbook_dir }}}}/replay/{name}.experiment.yml"
        experiment_results: "{{{{ playbook_dir }}}}/replay/results"
"""


@dataclass(frozen=True)
class Source:
    """A deployment file."""

    path: str
    #: Directory of its composition, or its ``composition.json``; both absolute.
    composition: str
    #: Directory that holds the state of its deployment.
    state: str

    @property
    def directory(self) -> str:
        """Of the composition."""
        return self.composition if os.path.isdir(self.composition) else os.path.dirname(self.composition)


def write_replay(results: str, subject: Subject, sources: t.Iterable[Source]) -> None:
    """Write it into a results directory. What an earlier run of the experiment has written is replaced."""
    below = os.path.join(results, "replay")
    for part in ("inventory", "compositions"):
        shutil.rmtree(os.path.join(below, part), ignore_errors=True)
    taken: set[str] = set()
    for number, source in enumerate(sources):
        name = os.path.basename(source.path)
        # Files of two directories may have the same name.
        apart = [str(number)] if name in taken else []
        taken.add(name)
        place = os.path.join(below, "compositions", *apart, re.sub(r"\.compose\.ya?ml$", "", name))
        inventory = os.path.join(below, "inventory", *apart)
        copied = _copied(source, place)
        with open(source.path, encoding="utf-8") as stream:
            text = stream.read()
        text = _with(text, "composition", os.path.relpath(copied, inventory))
        text = _with(text, "state_dir", os.path.dirname(source.state))
        write_text(os.path.join(inventory, name), text)
    script = f"{subject.name}.py"
    experiment = codec.encode(replace(subject.experiment, script=script))
    write_text(os.path.join(below, script), subject.script, mode=0o644)
    write_text(os.path.join(below, f"{subject.name}.experiment.yml"), strict_yaml.dump(experiment), mode=0o644)
    playbook = PLAYBOOK.format(name=subject.name, directory=results)
    write_text(os.path.join(results, "replay.yml"), f"---\n{playbook}", mode=0o644)


def _copied(source: Source, place: str) -> str:
    """A copy of a composition, without hidden files and links to directories, as other hosts get it."""
    place = os.path.join(place, os.path.basename(source.directory))  # which is its name, where it says no other
    shutil.copytree(source.directory, place, ignore=_left_out)
    same = source.directory == source.composition
    return place if same else os.path.join(place, os.path.basename(source.composition))


def _left_out(folder: str, names: t.Iterable[str]) -> set[str]:
    """Links such as those that ``nix build`` makes would bring whole systems, or lead nowhere."""
    paths = {name: os.path.join(folder, name) for name in names}
    return {
        name
        for name, path in paths.items()
        if name.startswith(".") or name == "__pycache__" or (os.path.islink(path) and not os.path.isfile(path))
    }


def _with(text: str, key: str, value: str) -> str:
    """A deployment file with another value of a key. It may have tags that nobody but Ansible reads, and keeps them."""
    line = f"{key}: {json.dumps(value)}"
    found, count = re.subn(rf"^{key}:.*$", lambda _match: line, text, count=1, flags=re.MULTILINE)
    return found if count else f"{text.rstrip()}\n{line}\n"
