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


def test_what_a_combination_does_not_have_is_none_and_left_out(write: Write) -> None:
    sweep = {"fs": {"nfs": {}, "ceph": {"osds": [3]}}}
    changes = {"roles": {"client": 1, "osd": "$osds"}, "parameters": {"all": ["$fs", "$osds"]}}
    nfs, ceph = read(write("print(osds)", sweep=sweep, changes=changes)).trials()
    assert nfs.need.changes == {"roles": {"client": 1}, "parameters": {"all": ["nfs"]}}
    assert ceph.need.changes == {"roles": {"client": 1, "osd": 3}, "parameters": {"all": ["ceph", 3]}}
    assert (nfs.combination, nfs.values) == ({"fs": "nfs"}, {"fs": "nfs", "osds": None})


def test_a_parameter_that_the_script_only_sets_is_not_used(write: Write) -> None:
    with pytest.raises(InputError, match="sweep.block: nothing uses this parameter"):
        read(write("for block in [1, 2]:\n    pass")).trials()
    assert len(read(write("block += 'B'")).trials()) == 4


def test_true_is_another_value_than_one(write: Write) -> None:
    one, true, real = read(write("pass", sweep={"clients": [1, True, 1.0]})).trials()
    assert len({one.id, true.id, real.id}) == len({one.need, true.need, real.need}) == 3


def test_runners_that_would_change_the_same_deployment(write: Write) -> None:
    for right in ({}, {"network": "10.89.0.0/16"}, {"name": "lab"}):
        with pytest.raises(InputError, match="left and right would have the same deployment 'lab'"):
            read(write(runners={"left": {}, "right": right})).trials("left")


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
        ({"sweep": {"größe": [1]}}, "'größe' cannot be the name of a variable of the script"),
        ({"sweep": {"clients": [float("nan")]}}, "sweep.clients has the value nan, expected finite numbers"),
        ({"sweep": {"clients": ["\ud800"]}}, r"sweep.clients has the value '.ud800', which is half a character"),
        ({"sweep": {f"p{n}": list(range(10)) for n in range(12)}}, "sweep means 1000000000000 combinations; at most"),
        ({"sweep": {"fs": {"nfs": 1}}}, "sweep.fs.nfs is 1, expected parameters that only nfs has"),
        ({"sweep": {"fs": {"nfs": {"fs": [1]}}}}, "sweep.fs: a combination would have two values for 'fs'"),
        (
            {"sweep": {"fs": {"nfs": {"block": [1, 2]}}, "block": ["4k"]}},
            "sweep.block: a combination would have two values for 'block'",
        ),
        (
            {"sweep": {"fs": {"nfs": {"clients": [1]}}, "net": {"tcp": {"clients": [2]}}}},
            "sweep.net: a combination would have two values for 'clients'",
        ),
        (
            {"sweep": {"fs": {"nfs": {}, "ceph": {"osds": [1]}}}, "deployment": "lab-$osds"},
            "deployment is 'lab-.osds', but the combination fs=nfs has no 'osds'",
        ),
        (
            {"changes": {"roles": {"client": "$cleints"}}},
            "changes.roles.client is .*has no 'cleints'; did you mean 'cli",
        ),
        ({"changes": {"parameters": {"price": "5$"}}}, "changes.parameters.price is .*write \\$\\$ for a dollar sign"),
        ({"deployment": "$clients"}, "deployment is 1, expected the name of a deployment"),
        ({"repetitions": 0}, "repetitions is 0, expected a whole number from 1 to 1000000"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"time_limit": 10**30}, "time_limit is 1000.*, expected a whole number from 1 to 604800"),
        ({"retries": -1}, "retries is -1"),
        ({"order": "fast"}, "experiment.order is"),
        ({"repeat": 2}, "repeat"),
        ({"script": None}, "script"),
        ({"script": "other.py"}, "script: .*other.py: cannot be read"),
        ({"script": "."}, "script: .* is no file"),
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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cache: [on, off]", "line 4: sweep.cache has the value 'on', which is true for YAML 1.1; expected true or fa"),
        ("time: [1:30]", "line 4: sweep.time has the value '1:30', which is a number in another notation"),
        ("mode: [010]", "line 4: sweep.mode has the value '010', which is a number in another notation"),
        ("rate: [1e3]", "line 4: sweep.rate has the value '1e3', which is a text for YAML 1.1; expected 1000.0 or"),
        ("on: [1]", "line 4: sweep has the key 'on', which is no text for YAML 1.1; expected a text, in quotes"),
        ("fs: {nfs: {}, 1: {}}", "line 4: sweep.fs has the key '1', which is no text"),
        ("fs: [a]\n  fs: [b]", "line 5: the key sweep.fs is there twice"),
        ("fs: [a]\nscript: m.py", "line 5: the key script is there twice"),
        ("fs: [2026-01-31]", "sweep.fs.* is .*date.*, expected plain data"),
    ],
)
def test_what_yaml_reads_otherwise_than_people_is_refused(tmp_path: t.Any, text: str, why: str) -> None:
    path = tmp_path / "x.experiment.yml"
    path.write_text(f"deployment: lab\nscript: m.py\nsweep:\n  {text}\n")
    with pytest.raises(InputError, match=why):
        read(str(path))


def test_values_in_quotes_and_in_full_are_read(tmp_path: t.Any) -> None:
    (tmp_path / "m.py").write_bytes(b"\xef\xbb\xbfprint(fs)\r\n")
    path = tmp_path / "x.experiment.yml"
    path.write_text("deployment: lab\nscript: m.py\nsweep: {fs: ['on', true, '010', 0, 0x10, 1.0e+3, -1, \"1:30\"]}\n")
    values = [trial.combination["fs"] for trial in read(str(path)).trials()]
    assert values == ["on", True, "010", 0, 16, 1000.0, -1, "1:30"]
