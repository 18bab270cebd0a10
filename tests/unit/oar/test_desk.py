# SPDX-License-Identifier: GPL-3.0-or-later
"""A reservation from the wish to its end, on an OAR in memory."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.errors import ComposeError, InputError
from ansible_collections.immutable.compose.plugins.module_utils.oar.base import NotAdmitted, Unanswered
from ansible_collections.immutable.compose.plugins.module_utils.oar.desk import Abandoned, Desk, Interrupted
from ansible_collections.immutable.compose.plugins.module_utils.oar.job import OarError
from ansible_collections.immutable.compose.plugins.module_utils.oar.request import Request

from .site import DELETED, LOST, NOW, Clock, Site

Desks = t.Callable[..., Desk]
Told = t.Callable[[], str]


def raise_(error: Exception) -> t.Any:
    raise error


def test_a_new_job_is_waited_for(site: Site, desk_of: Desks, web: Request, clock: Clock, told: Told) -> None:
    clock.at(7, lambda: site.run(1))
    outcome = desk_of().reserve(web, wait=60)
    assert outcome.changed and outcome.job is not None
    assert (outcome.job.state, outcome.job.nodes) == ("Running", ("node-1", "node-2"))
    assert "reserving web at alice@frontend: 2 nodes, for 1:0:0, types deploy" in told()
    assert "job 1 (web) is submitted" in told()


def test_a_job_that_is_there_is_found(site: Site, desk_of: Desks, web: Request) -> None:
    site.add()
    outcome = desk_of().reserve(web, wait=60)
    assert not outcome.changed and outcome.job == site.all[1]
    assert "submit" not in site.calls


def test_a_job_that_waits_is_found_and_waited_for(site: Site, desk_of: Desks, web: Request, clock: Clock) -> None:
    site.add(state="Waiting")
    clock.at(3, lambda: site.run(1))
    outcome = desk_of().reserve(web, wait=60)
    assert not outcome.changed and outcome.job is not None and outcome.job.state == "Running"


@pytest.mark.parametrize(
    "other",
    [
        {"name": "db"},
        {"user": "bob"},
        {"state": "Error", "events": DELETED},
        {"state": "Terminated"},
        {"state": "Finishing"},
        {"state": "Running", "events": DELETED[:1]},
    ],
)
def test_jobs_that_are_not_meant(site: Site, desk_of: Desks, web: Request, other: dict[str, t.Any]) -> None:
    site.add(**other)
    outcome = desk_of().reserve(web)
    assert outcome.changed and outcome.job is not None and outcome.job.id == 2


@pytest.mark.parametrize(
    ("wish", "job", "asked", "has"),
    [
        ({"nodes": 3}, {}, "nodes 3", "nodes 2"),
        ({"disks": 2}, {}, "disks 2", "disks none"),
        ({"disks": 2}, {"wanted": f'-l "{Request("web", 2, 3600, disks=1).resources}"'}, "disks 2", "disks 1"),
        ({"walltime": 1800}, {}, "walltime 0:30:0", "walltime 1:0:0"),
        ({"walltime": 7200}, {}, "walltime 2:0:0", "walltime 1:0:0. With extend: true"),
        ({"types": ("deploy", "destructive")}, {}, "types deploy destructive", "types deploy"),
        ({"types": ()}, {}, "types none", "types deploy"),
        ({"types": ("inner=4",)}, {"types": ("inner=5",)}, "types inner=4", "types inner=5"),
        ({"queue": "production"}, {"queue": "default"}, "queue production", "queue default"),
        ({"project": "a"}, {"project": "b"}, "project a", "project b"),
        ({"properties": "cluster='a'"}, {"properties": "((cluster='b') AND x)"}, "cluster='a'", "cluster='b'"),
        (
            {"start": "2027-01-01 10:00:00"},
            {"command_line": "oarsub -n web"},
            "start 2027-01-01 10:00:00",
            "start 2027-",
        ),
        ({"nodes": 3, "walltime": 60}, {}, "nodes 3; walltime 0:1:0", "nodes 2; walltime 1:0:0"),
    ],
)
def test_a_job_that_is_another_is_refused_with_both(
    site: Site, desk_of: Desks, web: Request, wish: t.Any, job: t.Any, asked: str, has: str
) -> None:
    site.add(**job)
    with pytest.raises(InputError) as error:
        desk_of().reserve(dataclasses.replace(web, **wish))
    assert "job 1 (web) of alice is running and is not what is asked for" in str(error.value)
    assert asked in str(error.value).partition("Asked for: ")[2].partition("It has: ")[0]
    assert has in str(error.value).partition("It has: ")[2]
    assert site.calls == ["jobs"]


@pytest.mark.parametrize(
    "job",
    [
        {"types": ("deploy", "day")},  # the site's own doing
        {"queue": "default"},
        {"properties": "((deploy = 'YES') AND drain = 'NO')"},
        {"asked": "", "nodes": ()},
        {"walltime": None},
    ],
)
def test_what_nobody_asked_for_may_differ(site: Site, desk_of: Desks, web: Request, job: dict[str, t.Any]) -> None:
    site.add(**job)
    assert desk_of().reserve(web).changed is False


def test_two_jobs_of_the_name_are_refused(site: Site, desk_of: Desks, web: Request) -> None:
    site.add()
    site.add()
    for act in (lambda: desk_of().reserve(web), lambda: desk_of().release("web")):
        with pytest.raises(InputError, match="2 jobs of alice are named 'web': 1, 2; expected one at most"):
            act()
    assert site.live() == [1, 2]


def test_check_mode_never_reserves(site: Site, desk_of: Desks, web: Request) -> None:
    assert desk_of(dry=True).reserve(web, wait=60).changed
    site.add()
    longer = dataclasses.replace(web, walltime=7200)
    outcome = desk_of(dry=True).reserve(longer, extend=True, wait=60)
    assert outcome.changed and outcome.job is not None and outcome.job.walltime == 7200
    assert desk_of(dry=True).release("web").changed
    with pytest.raises(InputError, match="not what is asked for"):
        desk_of(dry=True).reserve(longer)
    assert set(site.calls) == {"jobs"} and site.live() == [1]


# -- waiting -------------------------------------------------------------------------------------------------------


def test_a_job_that_does_not_run_in_time_is_released(
    site: Site, desk_of: Desks, web: Request, clock: Clock, told: Told
) -> None:
    clock.at(5, lambda: site.change(1, start=int(NOW) + 7200))
    with pytest.raises(OarError) as error:
        desk_of().reserve(web, wait=30)
    assert "wait: job 1 (web) is not running after 30 s (timeout): it is waiting, predicted start 2027-" in str(
        error.value
    )
    assert str(error.value).endswith("job 1 (web) is released")
    assert site.live() == [] and clock.now - NOW == 30


def test_a_job_that_was_there_stays(site: Site, desk_of: Desks, web: Request) -> None:
    site.add(state="Waiting")
    with pytest.raises(OarError, match=r"no start is predicted yet$"):
        desk_of().reserve(web, wait=30)
    assert site.live() == [1]


def test_what_could_not_be_released_is_said(site: Site, desk_of: Desks, web: Request, told: Told) -> None:
    site.before["release"] = OarError("oardel said no")
    with pytest.raises(OarError) as error:
        desk_of().reserve(web, wait=30)
    words = "job 1 (web) could not be released (oardel said no) and is still waiting at alice@frontend"
    assert words in str(error.value) and words in told()


def test_one_in_advance_has_time_from_its_start(site: Site, desk_of: Desks, web: Request, clock: Clock) -> None:
    site.add(state="Waiting", start=int(NOW) + 7200, message="R=4,W=1:0:0,J=R,N=web")
    clock.at(7210, lambda: site.run(1))
    outcome = desk_of().reserve(web, wait=60)
    assert outcome.job is not None and outcome.job.state == "Running"


def test_a_job_that_ends_before_it_runs(site: Site, desk_of: Desks, web: Request, clock: Clock) -> None:
    clock.at(3, lambda: site.change(1, state="Error", events=DELETED, message="nodes died"))
    with pytest.raises(OarError, match="ended before it ran: state Error; nodes died; FRAG_JOB_REQUEST: User alice"):
        desk_of().reserve(web, wait=60)
    assert "release" not in site.calls


def test_a_site_that_is_silent_for_a_while_is_asked_again(
    site: Site, desk_of: Desks, web: Request, clock: Clock
) -> None:
    site.add(state="Waiting")
    for second in range(1, 40, 3):
        clock.at(second, lambda: site.before.update(job=LOST))
    clock.at(41, lambda: site.run(1))
    assert desk_of().reserve(web, wait=600).job == site.all[1]


def test_a_site_that_is_silent_for_long_is_not(site: Site, desk_of: Desks, web: Request, clock: Clock) -> None:
    site.job = lambda id_: raise_(LOST)  # type: ignore[method-assign]
    site.add(state="Waiting")
    with pytest.raises(Unanswered):
        desk_of().reserve(web, wait=6000)
    assert 300 < clock.now - NOW < 400


def test_credentials_that_ran_out_are_not_waited_for(site: Site, desk_of: Desks, web: Request, clock: Clock) -> None:
    clock.at(1, lambda: site.before.update(job=NotAdmitted("no")))
    site.add(state="Waiting")
    with pytest.raises(NotAdmitted):
        desk_of().reserve(web, wait=6000)
    assert clock.now - NOW < 10


# -- answers that are lost, others who ask, ends --------------------------------------------------------------------


def test_a_lost_answer_makes_no_second_job(site: Site, desk_of: Desks, web: Request) -> None:
    site.after["submit"] = LOST
    outcome = desk_of().reserve(web)
    assert outcome.changed and outcome.job is not None and outcome.job.id == 1
    assert site.live() == [1] and site.calls.count("submit") == 1


def test_a_job_that_was_not_made(site: Site, desk_of: Desks, web: Request) -> None:
    site.before["submit"] = LOST
    with pytest.raises(Unanswered, match="the connection was closed"):
        desk_of().reserve(web)
    assert site.calls.count("submit") == 1


def test_a_refusal_is_no_lost_answer(site: Site, desk_of: Desks, web: Request) -> None:
    site.before["submit"] = OarError("refused")
    with pytest.raises(OarError, match="^refused$"):
        desk_of().reserve(web)
    assert site.calls == ["jobs", "submit"]


def test_a_run_that_was_killed_is_gone_on_with(site: Site, desk_of: Desks, web: Request, clock: Clock) -> None:
    class Killed(BaseException):
        pass

    site.after["submit"] = t.cast(Exception, Killed())
    with pytest.raises(Killed):
        desk_of().reserve(web, wait=60)
    clock.at(3, lambda: site.run(1))
    outcome = desk_of().reserve(web, wait=60)
    assert not outcome.changed and outcome.job is not None and outcome.job.id == 1
    assert site.calls.count("submit") == 1


def test_of_two_who_ask_at_once_the_first_has_it(site: Site, desk_of: Desks, web: Request, told: Told) -> None:
    site.during_submit = lambda: site.add(state="Waiting")
    outcome = desk_of().reserve(web)
    assert not outcome.changed and outcome.job is not None and outcome.job.id == 1
    assert site.live() == [1]
    assert "job 2 (web) is released: job 1 has that name already" in told()


def test_the_job_of_the_other_is_not_given_back(site: Site, desk_of: Desks, web: Request) -> None:
    site.during_submit = lambda: site.add(state="Waiting")
    with pytest.raises(OarError, match="is not running after 10 s"):
        desk_of().reserve(web, wait=10)
    assert site.live() == [1]


def test_a_job_that_nobody_can_look_at_is_given_back(site: Site, desk_of: Desks, web: Request) -> None:
    site.during_submit = lambda: site.before.update(jobs=LOST)
    with pytest.raises(Unanswered, match="job 1 .web. is released"):
        desk_of().reserve(web)
    assert site.live() == []


@pytest.mark.parametrize("where", ["submit", "job"])
def test_an_interrupted_task_gives_back(site: Site, desk_of: Desks, web: Request, clock: Clock, where: str) -> None:
    if where == "submit":
        site.after["submit"] = Interrupted("interrupted by SIGTERM")
    else:
        clock.at(5, lambda: site.before.update(job=Interrupted("interrupted by SIGTERM")))
    with pytest.raises(Interrupted, match=r"interrupted by SIGTERM. job 1 \(web\) is released"):
        desk_of().reserve(web, wait=60)
    assert site.live() == []


def test_a_run_that_is_gone_leaves_its_job_to_the_next(site: Site, desk_of: Desks, web: Request, clock: Clock) -> None:
    with pytest.raises(Abandoned):
        desk_of(alone=lambda: clock.now > NOW + 5).reserve(web, wait=60)
    assert site.live() == [1]


def test_what_is_left_of_a_run_releases_nothing_after_an_error(site: Site, desk_of: Desks, web: Request) -> None:
    site.during_submit = lambda: site.before.update(jobs=LOST)
    with pytest.raises(Unanswered):
        desk_of(alone=lambda: True).reserve(web)
    assert site.live() == [1]


def test_what_is_left_of_a_run_and_is_interrupted_gives_back(site: Site, desk_of: Desks, web: Request) -> None:
    """Whoever closes a terminal ends both, in any order."""
    site.during_submit = lambda: site.before.update(jobs=Interrupted("interrupted by SIGHUP"))
    with pytest.raises(Interrupted, match="is released"):
        desk_of(alone=lambda: True).reserve(web)
    assert site.live() == []


# -- extending -----------------------------------------------------------------------------------------------------


def test_a_running_job_is_extended_once(site: Site, desk_of: Desks, web: Request) -> None:
    site.add()
    longer = dataclasses.replace(web, walltime=7200)
    outcome = desk_of().reserve(longer, extend=True, wait=60)
    assert outcome.changed and outcome.job is not None and outcome.job.walltime == 7200
    assert outcome.before is not None and outcome.before.walltime == 3600
    assert not desk_of().reserve(longer, extend=True, wait=60).changed
    # What was first asked for is still what was asked for.
    assert not desk_of().reserve(web, extend=True).changed and not desk_of().reserve(web).changed
    assert site.calls.count("extend") == 1


def test_nothing_is_shortened(site: Site, desk_of: Desks, web: Request) -> None:
    site.add()
    with pytest.raises(InputError, match="Asked for: walltime 0:30:0. It has: walltime 1:0:0. Release"):
        desk_of().reserve(dataclasses.replace(web, walltime=1800), extend=True)


def test_a_job_that_waits_is_not_extended(site: Site, desk_of: Desks, web: Request) -> None:
    site.add(state="Waiting")
    with pytest.raises(OarError, match="running jobs only; wait for it"):
        desk_of().reserve(dataclasses.replace(web, walltime=7200), extend=True)
    assert "extend" not in site.calls


def test_time_that_is_not_given(site: Site, desk_of: Desks, web: Request, clock: Clock) -> None:
    site.add()
    site.extend = lambda job, more: None  # type: ignore[method-assign]
    with pytest.raises(OarError, match="not given the time within 120 s: it has 1:0:0 of 2:0:0"):
        desk_of().reserve(dataclasses.replace(web, walltime=7200), extend=True)
    assert site.live() == [1]


# -- releasing -----------------------------------------------------------------------------------------------------


def test_error_is_the_normal_end(site: Site, desk_of: Desks) -> None:
    site.add()
    outcome = desk_of().release("web")
    assert outcome.changed and outcome.job is not None and outcome.job.state == "Error"
    assert not desk_of().release("web").changed and site.calls.count("release") == 1


def test_by_number(site: Site, desk_of: Desks) -> None:
    site.add()
    site.add()
    assert desk_of().release(None, 2).changed and site.live() == [1]
    assert not desk_of().release(None, 2).changed and not desk_of().release(None, 9).changed


def test_a_job_that_is_ending_is_waited_for(site: Site, desk_of: Desks, clock: Clock) -> None:
    site.add(events=DELETED[:1])
    clock.at(5, lambda: site.change(1, state="Error"))
    outcome = desk_of().release("web")
    assert not outcome.changed and outcome.job is not None and outcome.job.ended
    assert "release" not in site.calls


def test_a_job_that_cannot_be_released_is_said_to_run(site: Site, desk_of: Desks) -> None:
    site.add(nodes=("node-1", "node-2"))
    site.before["release"] = OarError("oardel said no")
    with pytest.raises(ComposeError) as error:
        desk_of().release("web")
    assert "oardel said no. job 1 (web) is still running at alice@frontend with node-1, node-2 until 2027-" in str(
        error.value
    )


def test_a_job_that_does_not_end(site: Site, desk_of: Desks) -> None:
    site.add(nodes=("node-1",))
    site.release = lambda job: None  # type: ignore[method-assign]
    with pytest.raises(OarError, match="did not end within 120 s: it is still running .* with node-1 until"):
        desk_of().release("web")
    assert desk_of().release("web", wait=False).changed
