# SPDX-License-Identifier: GPL-3.0-or-later
"""Which trials an experiment file means, and what of it is refused."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.experiments.trials import Need, Planned, read

Write = t.Callable[..., str]


def told(trials: t.Iterable[Planned]) -> list[str]:
    return [trial.words for trial in trials]


def test_combinations_that_need_the_same_follow_each_other(write: Write) -> None:
    subject = read(write(repetitions=2))
    assert subject.name == "fs"
    assert told(subject.trials()) == [
        "clients=1 block=4k",
        "clients=1 block=1M",
        "clients=1 block=4k, repetition 2",
        "clients=1 block=1M, repetition 2",
        "clients=2 block=4k",
        "clients=2 block=1M",
        "clients=2 block=4k, repetition 2",
        "clients=2 block=1M, repetition 2",
    ]
    assert subject.trials()[0].need == Need("lab", {"roles": {"client": 1}})


def test_a_random_order_is_that_of_its_seed(write: Write) -> None:
    listed = told(read(write(repetitions=2)).trials())
    orders = [told(read(write(repetitions=2, order="random", seed=seed)).trials()) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(listed) and orders[0] != listed


def test_ids_are_readable_and_tell_a_number_from_a_text(write: Write) -> None:
    ids = [trial.id for trial in read(write(sweep={"clients": [1, "1"], "block": ["a/b c"]})).trials()]
    assert len(set(ids)) == 2
    assert all(name.startswith("clients=1,block=a_b_c-") and name.endswith("-1") for name in ids)


def test_parameters_of_one_value_only(write: Write) -> None:
    sweep = {"fs": {"nfs": {}, "gluster": {"replicas": [2, 3]}}}
    path = write("print(fs)\ntry:\n    print(replicas)\nexcept NameError:\n    pass", sweep=sweep, changes={})
    assert told(read(path).trials()) == ["fs=nfs", "fs=gluster replicas=2", "fs=gluster replicas=3"]


def test_values_go_where_the_file_says(write: Write) -> None:
    changes = {"name": "lab-$block", "parameters": {"sizes": ["$block", "${clients}x"], "price": "5 $$"}}
    trial = read(write(deployment="${block}", sweep={"clients": [2], "block": ["4k"]}, changes=changes)).trials()[0]
    assert trial.need == Need("4k", {"name": "lab-4k", "parameters": {"sizes": ["4k", "2x"], "price": "5 $"}})


def test_runners_have_deployments_of_their_own(write: Write) -> None:
    subject = read(write(runners={"left": {}, "right": {"name": "lab-right", "roles": {"server": 1}}}))
    assert subject.trials("left")[0].need.changes == {"roles": {"client": 1}}
    right = {"roles": {"client": 1, "server": 1}, "name": "lab-right"}
    assert subject.trials("right")[0].need.changes == right
    assert [trial.id for trial in subject.trials("left")] == [trial.id for trial in subject.trials("right")]
    with pytest.raises(InputError, match="has the runners left, right, which share .* expected 'experiment_runner'"):
        subject.trials()
    with pytest.raises(InputError, match="there is no 'rihgt'; did you mean 'right'"):
        subject.trials("rihgt")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sweep": {}}, "sweep is empty"),
        ({"sweep": {"clients": []}}, "sweep.clients is .*expected a list of values"),
        ({"sweep": {"clients": 3}}, "sweep.clients is 3, expected a list of values"),
        ({"sweep": {"clients": [[1]]}}, "sweep.clients has the value .1., expected numbers"),
        ({"sweep": {"clients": [1, 1]}}, "sweep.clients has a value twice"),
        ({"sweep": {"clients": [1], "idle": [1]}}, "sweep.idle: nothing uses this parameter"),
        ({"sweep": {"parallel": [1]}}, "'parallel' cannot be the name of a variable of the script"),
        ({"sweep": {"class": [1]}}, "'class' cannot be the name of a variable of the script"),
        ({"sweep": {"unit": [1]}}, "'unit' is a column of the table"),
        ({"sweep": {"fs": {"nfs": 1}}}, "sweep.fs.nfs is 1, expected parameters that only nfs has"),
        (
            {"changes": {"roles": {"client": "$cleints"}}},
            "changes.roles.client is .*has no 'cleints'; did you mean 'cli",
        ),
        ({"changes": {"parameters": {"price": "5$"}}}, "changes.parameters.price is .*write \\$\\$ for a dollar sign"),
        ({"deployment": "$clients"}, "deployment is 1, expected the name of a deployment"),
        ({"repetitions": 0}, "repetitions is 0, expected a whole number from 1 on"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"retries": -1}, "retries is -1"),
        ({"order": "fast"}, "experiment.order is"),
        ({"repeat": 2}, "repeat"),
        ({"script": None}, "script"),
        ({"script": "other.py"}, "script: .*other.py: cannot be read"),
        ({"runners": {"Left": {}}}, "runners: invalid name 'Left'"),
        ({"repetitions": 1_000_000}, "means 4000000 trials; at most 1000000"),
    ],
)
def test_refusals(write: Write, changes: dict[str, t.Any], why: str) -> None:
    path = write(**changes)
    with pytest.raises(InputError, match=why) as refusal:
        read(path).trials()
    assert path in str(refusal.value)


def test_what_is_no_yaml(write: Write, tmp_path: t.Any) -> None:
    path = tmp_path / "x.experiment.yml"
    path.write_text("a: [")
    with pytest.raises(InputError, match="cannot be read"):
        read(str(path))
    with pytest.raises(InputError, match="No such file"):
        read(str(tmp_path / "none.yml"))
