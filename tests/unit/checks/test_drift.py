# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as drift, and as what."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.immutable.compose.plugins.module_utils.checks.drift import files_and_units, user_changes
from ansible_collections.immutable.compose.plugins.module_utils.deploy.drift import drift
from ansible_collections.immutable.compose.plugins.module_utils.deploy.engine import Engine
from ansible_collections.immutable.compose.plugins.module_utils.errors import InputError
from ansible_collections.immutable.compose.plugins.module_utils.images.listing import Entry, Listing, list_image
from ansible_collections.immutable.compose.plugins.module_utils.model.findings import Changes, UnitChanges
from ansible_collections.immutable.compose.plugins.module_utils.model.image import Image, ImageFile
from ansible_collections.immutable.compose.plugins.module_utils.nodes.look import Sight, sight_of
from ansible_collections.immutable.compose.plugins.module_utils.nodes.output import Output

UNITS = "etc/systemd/system"
NULL = Entry("l", "777 0 0", "/dev/null")
LINK = Entry("l", "777 0 0", "/lib/systemd/system/a.service")
FILE = Entry("f", "644 0 0", "3 100")
FOLDER = Entry("d", "755 0 0")
NOBODY = Changes()
IMAGE = {"": FOLDER, "etc": FOLDER, "etc/a": FILE, "etc/passwd": FILE, f"{UNITS}/m.wants/on.service": LINK}


def found(
    *, users: Changes = NOBODY, ignore: tuple[str, ...] = (), gone: str = "", **now: Entry
) -> tuple[Changes, UnitChanges]:
    entries = {**IMAGE, **{path.replace("__", "/"): entry for path, entry in now.items()}}
    entries.pop(gone, None)
    return files_and_units(Listing(IMAGE, []), Sight(entries), ignore, users)


def test_what_is_as_it_was_is_no_drift() -> None:
    assert found() == (Changes(), UnitChanges())


def test_files() -> None:
    files, units = found(etc__a=Entry("f", "600 0 0", "3 100"), opt=FOLDER, opt__b=FILE, opt_b=FILE, gone="etc/passwd")
    assert files == Changes(("/etc/a",), ("/opt", "/opt_b"), ("/etc/passwd",))
    assert units == UnitChanges()


def test_a_file_whose_time_was_set_back_has_changed() -> None:
    sight = Sight(dict(IMAGE), touched={"etc/a"})
    assert files_and_units(Listing(IMAGE, []), sight, [], Changes())[0] == Changes(("/etc/a",))


def test_what_nodes_write_and_what_is_ignored_is_no_drift() -> None:
    written = {"etc__hosts": FILE, "var__lib__x__y": FILE, "etc__app": FOLDER, "etc__app__c": FILE}
    assert found(ignore=("/etc/app*",), **written)[0] == Changes()
    assert found(ignore=("/etc/ap",), **written)[0] == Changes(added=("/etc/app",))


def test_mounts_are_not_the_image_s() -> None:
    sight = Sight({**IMAGE, "etc": Entry("d", "555 0 0")}, mounts={"etc"})
    assert files_and_units(Listing(IMAGE, []), sight, [], Changes())[0] == Changes()


def test_what_is_below_a_mount_is_not_the_image_s() -> None:
    image = {**IMAGE, "srv": FOLDER, "srv/data": FOLDER, "srv/data/x": FILE, "srv/database": FILE}
    sight = Sight(dict(IMAGE), mounts={"", "srv/data"})
    assert files_and_units(Listing(image, []), sight, [], NOBODY)[0] == Changes(deleted=("/srv",))
    sight = Sight({**IMAGE, "srv": FOLDER, "srv/data": FOLDER}, mounts={"", "srv/data"})
    assert files_and_units(Listing(image, []), sight, [], NOBODY)[0] == Changes(deleted=("/srv/database",))


def later(*lines: str) -> tuple[Changes, UnitChanges]:
    """Of a node that told only what is later than its image."""
    image = {**IMAGE, "opt": FOLDER, "opt/a": FOLDER, "opt/a/b": FILE, "opt/c": FILE, UNITS: FOLDER}
    image[f"{UNITS}/m.wants"] = FOLDER
    sight = sight_of(Output(0, "".join(f"{line}\0" for line in lines).encode(), b""), 100)
    return files_and_units(Listing(image, []), sight, [], NOBODY)


def test_what_a_node_does_not_tell_is_as_it_was() -> None:
    unread = "Fusr/lib/compose/identity\tf\t644 0 0\t3 100.0000000000 100.0000000000"
    image = {**IMAGE, "usr/lib/compose/identity": FILE}
    sight = sight_of(Output(0, f"{unread}\0B\0".encode(), b""), 100)
    assert sight.reliable and files_and_units(Listing(image, []), sight, [], NOBODY) == (Changes(), UnitChanges())


def test_what_is_left_in_a_directory_says_what_is_gone() -> None:
    opt = ("Fopt\td\t755 0 0\t", "Copt/c", "Copt/new", "Fopt/new\tl\t777 0 0\tx")
    assert later(*opt)[0] == Changes(added=("/opt/new",), deleted=("/opt/a",))
    written = ("Fopt/a/b\tf\t644 0 0\t3 200.5 200.5", "Fopt/c\tf\t644 0 0\t3 100.0000000000 200.0")
    assert later(*written)[0] == Changes(("/opt/a/b", "/opt/c"))
    units = (f"F{UNITS}\td\t755 0 0\t", f"C{UNITS}/off.service", f"F{UNITS}/off.service\tl\t777 0 0\t/dev/null")
    assert later(*units) == (Changes(), UnitChanges(masked=("off.service",), disabled=("on.service",)))


@pytest.mark.parametrize("clock", [True, False])
@pytest.mark.parametrize("unpacked", [True, False])
def test_times_are_relied_on_where_an_image_has_one_for_each_file_and_the_clock_was_right(
    clock: bool, unpacked: bool
) -> None:
    changed = "200.0000000000" if unpacked else "100.0000000000"
    told = f"Fusr/lib/compose/identity\tf\t644 0 0\t3 100.0000000000 {changed}\0" + ("B\0" if clock else "")
    assert sight_of(Output(0, told.encode(), b""), 100).reliable is (clock and not unpacked)
    assert not sight_of(Output(0, b"B\0Fgarbage\0Fx\tf\t\t\0Cx", b""), 100).reliable


def test_links_say_what_units_are() -> None:
    now = {f"{UNITS}/off.service": NULL, f"{UNITS}/n.wants": FOLDER, f"{UNITS}/n.wants/new.service": LINK}
    files, units = found(gone=f"{UNITS}/m.wants/on.service", **now)
    assert files == Changes()
    assert units == UnitChanges(masked=("off.service",), enabled=("new.service",), disabled=("on.service",))
    masked = {**IMAGE, f"{UNITS}/off.service": NULL}
    assert files_and_units(Listing(masked, []), Sight(dict(IMAGE)), [], Changes())[1] == UnitChanges(
        unmasked=("off.service",)
    )
    assert found(**{f"{UNITS}/own.service": FILE})[0] == Changes(added=(f"/{UNITS}/own.service",))


def test_an_account_is_told_once() -> None:
    old, new = ["root:x:0:0::/:/bin/sh", "a:x:1:1"], ["root:x:0:0::/:/bin/bash", "b:x:1:1"]
    users = user_changes(old, new)
    assert users == Changes(("root",), ("b",), ("a",))
    other = Entry("f", "644 0 0", "9 200")
    assert found(users=users, etc__passwd=other, **{"etc/shadow-": other})[0] == Changes()
    assert found(etc__passwd=other)[0] == Changes(("/etc/passwd",))


def test_what_a_node_prints_is_what_its_image_lists(tmp_path: Path) -> None:
    """Names with blanks, tabs, backslashes and line ends among them; times are those of the file system."""
    root = tmp_path / "root"
    for path in ("etc", "usr/lib/compose", "a b\\c\td"):
        (root / path).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "usr/lib/compose/identity").write_text("x\n")
    (root / "a b\\c\td/e f").symlink_to("to a place")
    (root / "a b\\c\td/hard").hardlink_to(root / "etc/passwd")
    for file in root.rglob("*"):
        subprocess.run(["touch", "-h", "-d", "@1700000000", file], check=True)
    subprocess.run(["mksquashfs", root, tmp_path / "root.squashfs", "-quiet", "-no-progress"], check=True)
    formats = {"root": ImageFile("root.squashfs", 0, "")}
    image = Image("app", "debian", "x-web-app", "amd64", formats, bundle=str(tmp_path))
    listing = list_image(image)
    assert listing.users == ["root:x:0:0::/root:/bin/sh"]
    form = (
        r"-type d -printf F%P\td\t%m\ %U\ %G\t\0 -o -type l -printf F%P\tl\t%m\ %U\ %G\t%l\0"
        r" -o -printf F%P\tf\t%m\ %U\ %G\t%s\ %T@\ %C@\0"
    )
    words = [word.replace("\x00", " ") for word in form.replace("\\ ", "\x00").split(" ")]
    done = subprocess.run(["find", root, *words], check=True, capture_output=True)
    sight = sight_of(Output(0, done.stdout, b""))
    assert sight.entries == listing.entries
    assert sight.touched == set()  # this file system has other times of change, so they say nothing


@pytest.mark.parametrize("ignore", [{"/opt/cache": ""}, {"/opt/cache": None}, {"opt/cache": "a cache"}])
def test_what_may_differ_has_a_reason(ignore: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"ignore: '/?opt/cache': .*expected a pattern of paths .* and why"):
        drift(t.cast(Engine, None), ignore)


def test_a_unit_that_the_image_masks_is_masked() -> None:
    masked = {**IMAGE, f"{UNITS}/off.service": NULL}
    sight = Sight(dict(masked), masked=["off.service", "other.service"])
    assert files_and_units(Listing(masked, []), sight, [], NOBODY)[1] == UnitChanges(masked=("other.service",))


@pytest.mark.parametrize("set_back", [False, True])
def test_times_that_nobody_can_set(set_back: bool) -> None:
    changed = "100.5000000000" if set_back else "100.0000000000"
    lines = (
        "Fusr/lib/compose/identity\tf\t644 0 0\t3 100.0000000000 100.0000000000\0"
        f"Fetc/a\tf\t644 0 0\t3 100.0000000000 {changed}\0"
    )
    assert sight_of(Output(0, lines.encode(), b"")).touched == ({"etc/a"} if set_back else set())
