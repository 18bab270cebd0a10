"""Directories that follow a git repository, in compositions of the builder ``debian``."""

from __future__ import annotations

import re

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.builders.debian.builder import Debian
from ansible_collections.immutable.compose.plugins.module_utils.describe.follow import not_a_repository, not_a_revision
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.model.follow import Follow

from .conftest import Compose

URL = "https://git.example.org/web.git"
WHAT = f'repository = "{URL}"; revision = "main";'


def composition(role: str) -> str:
    return f'{{ roles.proxy = {{ packages = [ "nginx-light" ]; {role} }}; roles.other = {{ }}; }}'


def follow(path: str = "/etc/app", more: str = "") -> str:
    return f'follow."{path}" = {{ {WHAT} {more} }};'


def test_what_a_role_follows_is_known_without_a_build(debian: Debian, compose: Compose) -> None:
    more = 'check = "test -e %s/x"; reload = "true"; secret = "key";'
    role = debian.evaluate(compose(composition(follow(more=more))), {}).roles["proxy"]
    assert role.follow == {"/etc/app": Follow(URL, "main", "test -e %s/x", "true", "", "key")}


def test_it_is_in_the_image_of_that_role_alone(debian: Debian, compose: Compose) -> None:
    found = []
    for role in ("", follow(), follow(more='reload = "true";'), "follow = { };"):
        text = (
            f'{{ roles.proxy = {{ packages = [ "nginx-light" ]; {role} }}; roles.backend.packages = [ "python3" ]; }}'
        )
        roles = debian.evaluate(compose(text, lock="web"), {}).roles
        found.append((roles["proxy"].identity, roles["backend"].identity))
    assert None not in {each for pair in found for each in pair}
    assert (
        found[0] == found[3]
        and len({proxy for proxy, _other in found}) == 3
        and len({other for _proxy, other in found}) == 1
    )


def test_who_looks_for_itself_has_git(debian: Debian, compose: Compose) -> None:
    path = compose(composition(follow(more='every = "5min";')), lock="web")
    with pytest.raises(InputError, match=re.escape("roles.proxy.packages: 'git' is not locked")):
        debian.identify(path, {}, ["proxy"], ["root"])


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (follow("/etc/hosts"), '"/etc/hosts": is made when the node boots'),
        (follow("/lib/compose/x"), '"/lib/compose/x": belongs to the node itself'),
        (follow("/run/app"), '"/run/app": cannot be in an image'),
        (follow("/etc"), '"/etc": is a directory of the whole system'),
        (follow("etc/app"), '"etc/app": not a valid name here'),
        (follow("/etc/a b"), '"/etc/a b": has characters other than letters'),
        (follow() + follow("/etc/app/conf"), '"/etc/app": is over /etc/app/conf, which follows a repository, too'),
        (follow("/lib/app") + follow("/usr/lib/app/x"), '"/lib/app": is over /usr/lib/app/x'),
        (follow("/lib/app") + follow("/usr/lib/app"), '"/lib/app": is over /usr/lib/app'),
        (follow() + 'files."/etc/app/x".text = "";', 'files."/etc/app/x": /etc/app has nothing but what is in'),
        (follow() + 'files."/etc/app".text = "";', 'files."/etc/app": /etc/app has nothing but what is in'),
        (follow() + 'volumes.data.mount = "/etc/app/data";', "the volume 'data' is mounted at /etc/app/data"),
        (follow("/srv/a/b") + 'volumes.data.mount = "/srv/a";', "the volume 'data' is mounted at /srv/a"),
        (follow(more='chek = "x";'), "\"/etc/app\".chek: unknown attribute; did you mean 'check'?"),
        (follow(more='check = "nginx -t";'), "check: 'nginx -t' has no %s"),
        (follow(more='every = "5 min";'), "every: '5 min' does not match"),
        (follow(more="every = 5;"), "every: 5 is not of type 'string'"),
        ('follow."/etc/app".revision = "main";', '"/etc/app".repository: is missing'),
        ('follow."/etc/app" = "x";', "'x' is not of type 'object'"),
        ('follow = "x";', "roles.proxy.follow: 'x' is not of type 'object'"),
        (
            f'follow."/etc/app" = {{ repository = "{URL}"; revision = "a..b"; }};',
            "revision: 'a..b' is not the name of a branch or tag",
        ),
        (
            'follow."/etc/app" = { repository = "https://me:hunter2@x/y"; revision = "main"; };',
            "repository: 'https://me:********@x/y' has a password",
        ),
        (
            'follow."/etc/app" = { repository = "git://x/y"; revision = "main"; secret = "k"; };',
            "secret: nobody logs in to git://",
        ),
    ],
)
def test_refuses(debian: Debian, compose: Compose, role: str, expected: str) -> None:
    with pytest.raises(InputError) as refused:
        debian.evaluate(compose(composition(role)), {})
    assert "roles.proxy.f" in str(refused.value) and expected in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "ssh://git@h:22/x",
        "git@h:group/x.git",
        "h:x",
        "git://h/x",
        "file:///srv/x.git",
        "http://me@h:8080/x",
        "git://[::1]/x",
    ],
)
def test_repositories(url: str) -> None:
    assert not_a_repository(url) is None


@pytest.mark.parametrize(
    "url",
    ["", "x", "/srv/x", "-x:y", "ext::sh -c id", "https://h", "https:///x", "https://h/a b", "https://h:x/y", "file://h/x",
     "ftp://h/x", "https://h/x?y", "h:x y", "https://-h\n/x", "https://me:pw@h/x"],
)  # fmt: skip
def test_no_repositories(url: str) -> None:
    assert not_a_repository(url)


def test_revisions() -> None:
    for good in ("main", "v1.2", "feature/x", "HEAD", "refs/heads/main", 40 * "a", "deadbee-2", "abc", "a@b"):
        assert not_a_revision(good) is None, good
    for bad in (
        "",
        "-x",
        "a b",
        "a..b",
        "a~1",
        "x^",
        "a:b",
        "x.lock",
        "a/",
        "a//b",
        "@",
        "@{1}",
        "abcdef1",
        40 * "A",
        ".a",
        "a.",
        "/a",
        "a\n",
    ):
        assert not_a_revision(bad), bad
