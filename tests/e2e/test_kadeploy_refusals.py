# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kadeploy, the API of Grid'5000 and OAR refuse: message and exit code, and nothing is reserved or touched."""

from __future__ import annotations

import copy
import typing as t

import pytest
from lab import Lab
from metal import Site, site_of

pytestmark = pytest.mark.backends

#: What the deployment file has otherwise.
Changes = dict[str, t.Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    state, api = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("api")
    with site_of(state, api, rights={"alice": ["sim-[1-2]"]}) as site:
        yield site


@pytest.fixture(scope="module")
def lab(site: Site, lab_of: t.Callable[..., Lab]) -> Lab:
    lab = lab_of(
        "refused",
        "web",
        platform={"name": "kadeploy", "url": site.url, "user": "alice", "directory": str(site.state / "served")},
        network="10.158.0.0/16",
        roles={"proxy": 0, "database": 0, "backend": 1},
        nodes={"backend1": {"address": "10.158.0.2"}},
    )
    lab.drop_test_script()
    return lab


@pytest.fixture
def deployed(site: Site, lab: Lab) -> t.Iterator[t.Callable[..., None]]:
    """Deploys in vain, with a changed file."""
    before = copy.deepcopy(lab.deployment)

    def deploy(says: str, platform: Changes | None = None, reservation: Changes | None = None, **more: t.Any) -> None:
        changed = {**lab.deployment["platform"], **(platform or {})}
        lab.write(platform={key: value for key, value in changed.items() if value is not None})
        if reservation is not None:
            api = {"interface": "grid5000", "site": "grenoble", "url": f"{site.api}/stable", "walltime": "1:0:0"}
            lab.write(reservation={**api, **reservation})
        credentials = more.pop("credentials", "{user: alice, password: alice}" if reservation is not None else "{}")
        (lab.inventory / "group_vars").mkdir(exist_ok=True)
        (lab.inventory / "group_vars/all.yml").write_text(f"compose_credentials: {credentials}\n")
        run = lab.play("deploy", expect=2)
        assert run.said(says), run.output
        assert site.running() == set() and site.jobs() == []

    yield deploy
    lab.deployment = before
    lab.write()


@pytest.mark.parametrize(
    ("says", "platform"),
    [
        ("has no machine 'sim-9'", {"machine": "sim-9"}),
        ("You do not have sufficient rights to perform the operation on all the nodes", {"machine": "sim-3"}),
        ("Unable to grab the file", {"machine": "sim-1", "directory_url": "server:///nowhere"}),
        (
            "cannot be reached",
            {"machine": "sim-1", "backend": "command", "url": None, "user": None, "frontend": "ssh://127.0.0.1:9"},
        ),
        ("cannot be reached", {"machine": "sim-1", "url": "http://127.0.0.1:9"}),
        ("directory_url is missing, expected a web address", {"backend": "grid5000", "site": "grenoble"}),
    ],
)
def test_kadeploy(deployed: t.Callable[..., None], says: str, platform: Changes) -> None:
    deployed(says, platform)


@pytest.mark.parametrize(
    ("says", "reservation"),
    [
        ("There are not enough resources", {"nodes": 9}),
        ("There are not enough resources", {"properties": "cluster='nosuch'"}),
        ("walltime is '-1:0:0', which ends before it begins", {"walltime": "-1:0:0"}),
        ("unknown job type: weird", {"types": ["deploy", "weird"]}),
        ("start is '2001-01-01 10:00:00', which is in the past", {"start": "2001-01-01 10:00:00"}),
        ("walltime is 'soon', expected H:M:S", {"walltime": "soon"}),
        ("colour", {"properties": "colour='red'"}),
        ("Cannot find resource /sites/nowhere", {"site": "nowhere"}),
    ],
)
def test_reservations(deployed: t.Callable[..., None], says: str, reservation: Changes) -> None:
    deployed(says, {}, reservation)


def test_wrong_credentials(deployed: t.Callable[..., None]) -> None:
    deployed("401", {}, {}, credentials="{user: alice, password: wrong}")
