"""What somebody else wrote is checked before it is used: line ends at the end, counts without an end, manifests."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.describe import role_schema, values
from ansible_collections.immutable.compose.plugins.module_utils.describe.load import read_manifest
from ansible_collections.immutable.compose.plugins.module_utils.describe.members import from_members
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.platforms.kadeploy.machines import expanded

from .test_deployment import composition, read
from .test_load import write


def patterns(schema: t.Any) -> t.Iterator[str]:
    for key, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if key == "pattern":
            yield value
        elif isinstance(value, (dict, list)):
            yield from patterns(value)


def test_no_pattern_lets_a_line_end_pass() -> None:
    found = list(patterns(dict(role_schema._COMPOSITIONS)))
    assert len(found) > 20 and [each for each in found if not each.endswith(r"\Z")] == []


@pytest.mark.parametrize(
    "role",
    [
        {"mayFail": ["a.service\n"]},
        {"packages": ["bash\n"]},
        {"kernelModules": ["x\n"], "kernel": "linux"},
        {"volumes": {"data\n": {"mount": "/srv"}}},
        {"volumes": {"data": {"mount": "/srv", "mode": "0755\n"}}},
        {"volumes": {"data": {"mount": "/srv", "user": "root\n"}}},
        {"files": {"/etc/x": {"text": "", "mode": "0644\n"}}},
        {"units": {"a.service\n": {"enable": True}}},
        {"users": {"me\n": {}}},
        {"users": {"me": {"groups": ["wheel\n"]}}},
        {"follow": {"/srv/x": {"repository": "https://x/y", "revision": "main", "every": "5min\n"}}},
    ],
)
def test_a_line_end_at_the_end_is_refused(role: t.Any) -> None:
    with pytest.raises(InputError):
        role_schema.check_composition({"roles": {"a": role}}, "f", "debian")


@pytest.mark.parametrize(
    "package", ["-o", "-oAPT::Get::AllowUnauthenticated=1", "--root=x", "..", "a/b", "$(id)", "a b"]
)
def test_a_package_that_programs_would_take_for_an_option_or_a_path_is_refused(package: str) -> None:
    with pytest.raises(InputError, match="roles.a.packages"):
        role_schema.check_composition({"roles": {"a": {"packages": [package]}}}, "f", "debian")


@pytest.mark.parametrize("count", [values.MOST + 1, 100_000_000, "100000000", "9" * 5000, 10**300])
def test_a_count_has_an_end(count: t.Any) -> None:
    with pytest.raises(InputError, match=r"roles.node.count is .{1,40}, expected a count \(0 to 100000\)"):
        read({"roles": {"node": count}})


@pytest.mark.parametrize("count", [100_000_000, "9" * 5000])
def test_a_count_of_the_composition_has_an_end(count: t.Any) -> None:
    with pytest.raises(InputError, match=r"rolesDistribution.node is .*, expected a count \(0 to 100000\)"):
        read({}, distribution={"node": count})
    with pytest.raises(InputError):
        role_schema.check_composition({"roles": {"a": {}}, "rolesDistribution": {"a": count}}, "f", "debian")


def test_all_counts_together_have_an_end() -> None:
    assert composition().roles.keys() == {"node", "server"}
    with pytest.raises(InputError, match=r"roles: there are 120000 nodes or more, expected at most 100000"):
        read({"roles": {"node": 60000, "server": 60000}, "network": "10.0.0.0/8"})


def test_ranges_have_an_end() -> None:
    entry = {"nodes": "n[1:900000000]", "role": "n", "index": 1, "address": None, "options": {}}
    with pytest.raises(InputError, match="more than 100000 nodes"):
        from_members([entry])
    with pytest.raises(InputError, match="expected at most 100000 in a range"):
        expanded("n-[1-900000000]")
    with pytest.raises(InputError, match="expected ranges such as"):
        expanded(f"n-[1-{'9' * 5000}]")


def manifest(directory: Path, change: t.Callable[[dict[str, t.Any]], object]) -> str:
    path = Path(write(directory))
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return str(path)


VOLUME = {"mount": "/srv", "size": 5, "user": "root", "group": "root", "mode": "0755"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identity": "../../../etc"}, "roles.proxy.identity is '../../../etc'"),
        ({"identity": "x\n"}, "roles.proxy.identity"),
        ({"ports": [0]}, "roles.proxy.ports has 0, expected 1 to 65535"),
        ({"ports": [65536]}, "roles.proxy.ports has 65536"),
        ({"may_fail": ["a; reboot"]}, "roles.proxy.may_fail has 'a; reboot'"),
        ({"secret_files": {"/etc/../x": "key"}}, "roles.proxy.secret_files has '/etc/../x', expected a path"),
        ({"secret_files": {"/run/x": "key"}}, "roles.proxy.secret_files./run/x: "),
        ({"volumes": {"../x": VOLUME}}, "roles.proxy.volumes.../x: not a valid name"),
        ({"volumes": {"d": {**VOLUME, "mount": "/srv/../etc"}}}, "roles.proxy.volumes.d.mount"),
        ({"volumes": {"d": {**VOLUME, "mount": "/usr"}}}, "roles.proxy.volumes.d.mount: /usr "),
        ({"volumes": {"d": {**VOLUME, "size": -1}}}, "roles.proxy.volumes.d.size is -1"),
        ({"volumes": {"d": {**VOLUME, "mode": "u+s"}}}, "roles.proxy.volumes.d.mode is 'u+s'"),
        ({"volumes": {"d": {**VOLUME, "user": "a b"}}}, "roles.proxy.volumes.d.user is 'a b'"),
        ({"follow": {"/proc/x": {"repository": "https://x/y", "revision": "m"}}}, 'roles.proxy.follow."/proc/x"'),
        ({"follow": {"/srv/x": {"repository": "ext::sh -c id", "revision": "m"}}}, 'roles.proxy.follow."/srv/x".rep'),
        ({"name": "another"}, "roles.proxy: not the name of a role"),
    ],
)
def test_a_manifest_is_checked_as_an_evaluated_composition_is(
    tmp_path: Path, change: dict[str, t.Any], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        read_manifest(manifest(tmp_path, lambda data: data["roles"]["proxy"].update(change)), "debian")
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("distribution", "message"),
    [
        ({"proxy": -1}, "distribution.proxy is -1"),
        ({"proxy": ["!!!"]}, "distribution.proxy: '!!!' gives no host name"),
    ],
)
def test_the_distribution_of_a_manifest_is_checked(tmp_path: Path, distribution: t.Any, message: str) -> None:
    with pytest.raises(InputError) as refused:
        read_manifest(manifest(tmp_path, lambda data: data.update(distribution=distribution)), "debian")
    assert message in refused.value.message
