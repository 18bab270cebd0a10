"""Which numbers users and groups get, once and for all roles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.numbers import (
    Declared,
    allocate,
)
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.numbers import read_numbers
from ansible_collections.immutable.compose.plugins.module_utils.model.numbers import Numbers

from .conftest import Compose

ROOT = Numbers({"root": 0, "www-data": 33, "nobody": 65534}, {"root": 0, "www-data": 33, "nogroup": 65534})
NONE = Declared()


def declared(**users: int | None) -> Declared:
    return Declared(users)


def made(**users: int) -> Numbers:
    return Numbers({**ROOT.users, **users}, {**ROOT.groups, **{name: number + 1 for name, number in users.items()}})


def test_who_has_a_number_keeps_it() -> None:
    one = allocate(None, {"a": ROOT}, {"a": declared(bob=None, carol=None)})
    assert one == Numbers({"bob": 1000, "carol": 1001}, {"bob": 1000, "carol": 1001})
    two = allocate(one, {"a": ROOT}, {"a": declared(alice=None, carol=None)})
    assert two.users == {"bob": 1000, "carol": 1001, "alice": 1002}
    assert allocate(two, {"a": ROOT}, {"a": declared(bob=None)}) == two


def test_all_roles_have_the_same() -> None:
    numbers = allocate(
        None,
        {"a": made(redis=104), "b": made(_rpc=104, statd=105), "c": made(_rpc=106, redis=107)},
        {"a": declared(bob=None), "b": declared(alice=None, bob=None), "c": NONE},
    )
    assert numbers.users == {"redis": 104, "_rpc": 100, "statd": 105, "bob": 1000, "alice": 1001}
    assert len(set(numbers.groups.values())) == len(numbers.groups)
    assert numbers.groups["bob"] == 1000


def test_packages_keep_what_they_took_if_they_can() -> None:
    one = allocate(None, {"a": made(redis=104)}, {"a": NONE})
    two = allocate(one, {"a": made(_rpc=104, redis=105)}, {"a": NONE})
    assert two.users["redis"] == 104
    assert two.users["_rpc"] not in (104, two.users["redis"])
    assert two.groups["redis"] == one.groups["redis"]


def test_what_is_asked_for_comes_first() -> None:
    numbers = allocate(None, {"a": made(redis=104)}, {"a": declared(alice=None, bob=1000, redis=200)})
    assert numbers.users == {"bob": 1000, "redis": 200, "alice": 1001}


def test_users_and_groups_that_are_the_same_everywhere() -> None:
    there = Declared({"www-data": None}, ("nogroup",))
    numbers = allocate(None, {"a": ROOT}, {"a": there})
    assert (numbers.users, numbers.groups) == ({"www-data": 33}, {"www-data": 33, "nogroup": 65534})


@pytest.mark.parametrize(
    ("kept", "roles", "message"),
    [
        (Numbers({"alice": 1000}), {"a": declared(bob=1000)}, "roles.a.users.bob.uid: 1000 is the number of 'alice'"),
        (None, {"a": declared(bob=33)}, "roles.a.users.bob.uid: 33 is the number of 'www-data'"),
        (
            None,
            {"a": declared(bob=1000), "b": declared(bob=1001)},
            "roles.b.users.bob.uid is 1001, and roles.a.users.bob.uid is 1000: a user has one number in all roles",
        ),
    ],
)
def test_a_number_that_is_anothers(kept: Numbers | None, roles: dict[str, Declared], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        allocate(kept, dict.fromkeys(roles, ROOT), roles)


def test_what_a_build_says() -> None:
    said = "user root 0\nuser +@staff \n\ngroup root 0\ngroup adm 4\n"
    assert read_numbers(said) == Numbers({"root": 0}, {"root": 0, "adm": 4})


USERS = '{ roles.backend = { packages = [ "python3" ]; users.bob = {}; %s }; }'


def test_a_user_without_a_number_is_refused(debian: Debian, compose: Compose) -> None:
    path = Path(compose(USERS % 'users.alice = { uid = 1002; group = "staff"; };', lock="web"))
    file = path / "compose.lock.json"
    lock = json.loads(file.read_text())
    assert debian.evaluate(str(path), {}).roles["backend"].identity is not None  # a lock of former times
    lock["numbers"] = {"users": {"bob": 1000, "alice": 1001}, "groups": {"bob": 1000, "alice": 1001}}
    file.write_text(json.dumps(lock))
    with pytest.raises(InputError) as refused:
        debian.identify(str(path), {}, ["backend"], [])
    assert "roles.backend.users.alice.uid is 1002, the lock keeps 1001" in str(refused.value)
    assert "roles.backend.users: no number is kept for the group 'staff'" in str(refused.value)
    del lock["numbers"]["users"]["bob"]
    file.write_text(json.dumps(lock))
    with pytest.raises(InputError, match=r"roles\.backend\.users: no number is kept for 'bob'"):
        debian.identify(str(path), {}, ["backend"], [])


def test_numbers_of_others_are_no_reason_to_build(debian: Debian, compose: Compose) -> None:
    path = Path(compose(USERS % "", lock="web"))
    file = path / "compose.lock.json"
    lock = json.loads(file.read_text())

    def identity(**users: int) -> str:
        lock["numbers"] = {"users": users, "groups": users}
        file.write_text(json.dumps(lock))
        role = debian.evaluate(str(path), {}).roles["backend"]
        assert role.numbers.users == {"bob": users["bob"]}
        return str(role.identity)

    assert identity(bob=1000) == identity(bob=1000, alice=1001)
    assert identity(bob=1000) != identity(bob=1002)
