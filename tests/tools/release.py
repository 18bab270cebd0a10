# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a release of what is committed, and tries it: release.py make DIRECTORY | release.py try TARBALL

``make`` writes into the directory: the tarball, which is the same whoever builds it, and when; the signature of its
``MANIFEST.json``, as ``ansible-galaxy collection install --signature`` takes it; its SBOM; the changelog. ``try``
follows the README's lines with the tarball, where nothing of the checkout is.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import typing as t
from pathlib import Path

import sbom
import versions
import yaml

ROOT = Path(__file__).resolve().parents[2]


class Refused(Exception):
    """Why there is no release; nothing was written."""


def run(*command: str | Path, cwd: Path = ROOT, **options: t.Any) -> str:
    """Output of a program that must end well."""
    done = subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False, **options)
    if done.returncode:
        words = " ".join(map(str, command))
        raise Refused(f"{words} ended with exit code {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def key() -> str:
    """Fingerprint of the key that signs: the first secret key of GPG's keyring, or the one RELEASE_KEY names."""
    wanted = os.environ.get("RELEASE_KEY", "")
    if shutil.which("gpg") is None:
        raise Refused("gpg is not installed, which signs the release")
    listed = subprocess.run(
        ["gpg", "--batch", "--list-secret-keys", "--with-colons", *([wanted] if wanted else [])],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]
    if not found:
        which = f"{wanted!r}, which RELEASE_KEY names" if wanted else "at all"
        raise Refused(
            f"GPG's keyring has no secret key {which}, and a release is signed. Make one: "
            "gpg --quick-generate-key 'NAME <MAIL>'; or name another with RELEASE_KEY"
        )
    return found[0]


def export(directory: Path) -> Path:
    """What is committed, with the changelog of the version."""
    directory.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(directory, filter="tar")
    if str(version(directory)) not in versions.released(directory):
        date = run("git", "show", "--no-patch", "--format=%cs", "HEAD").strip()
        # It looks for the collection's plug-ins where Ansible would.
        run("antsibull-changelog", "release", "--date", date, "--is-collection", cwd=directory)
    return directory


def version(directory: Path) -> versions.Version:
    """Of ``galaxy.yml``."""
    text = str(yaml.safe_load((directory / "galaxy.yml").read_text())["version"])
    try:
        return versions.Version.parse(text)
    except ValueError:
        raise Refused(f"galaxy.yml: version is {text!r}, expected MAJOR.MINOR.PATCH") from None


def build(source: Path, directory: Path, epoch: int) -> Path:
    """The tarball of a directory: that of ansible-galaxy, in an order and with times that do not depend on the host."""
    directory.mkdir()
    run("ansible-galaxy", "collection", "build", "--output-path", directory, source)
    (path,) = directory.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = {member.name: member for member in archive}
        contents = {name: archive.extractfile(member) for name, member in members.items() if member.isfile()}
        data = {name: stream.read() for name, stream in contents.items() if stream}
    files, manifest = (json.loads(data[name]) for name in ("FILES.json", "MANIFEST.json"))
    files["files"].sort(key=lambda entry: entry["name"])
    data["FILES.json"] = json.dumps(files, indent=True).encode()
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(data["FILES.json"]).hexdigest()
    data["MANIFEST.json"] = json.dumps(manifest, indent=True).encode()
    first = ("MANIFEST.json", "FILES.json")
    with (
        path.open("wb") as stream,
        gzip.GzipFile("", "wb", fileobj=stream, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name in (*first, *sorted(set(members) - set(first))):
            member = members[name]
            member.mtime, member.size, member.pax_headers = epoch, len(data.get(name, b"")), {}
            archive.addfile(member, io.BytesIO(data[name]) if name in data else None)
    return path


def make(output: Path) -> None:
    """All that a release is, in a directory."""
    if changes := run("git", "status", "--porcelain"):
        raise Refused(f"what is not committed is in no release:\n{changes}")
    signer = key()
    now = version(ROOT)
    versions.require_next(ROOT, now, Refused)
    epoch = int(run("git", "show", "--no-patch", "--format=%ct", "HEAD"))
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        source = export(here / "source")
        one = build(source, here / "one", epoch)
        two = build(shutil.copytree(source, here / "copy", symlinks=True), here / "two", epoch)
        if one.read_bytes() != two.read_bytes():
            raise Refused(f"built twice, {one.name} is not the same: it would be signed for what nobody can repeat")
        tarball = output / one.name
        output.mkdir(parents=True, exist_ok=True)
        shutil.copy(one, tarball)
        sbom.write(source, tarball, Path(f"{tarball}.cdx.json"), epoch)
        with tarfile.open(tarball) as archive:
            archive.extract("MANIFEST.json", here, filter="data")
        signature = Path(f"{tarball}.asc")
        run(
            "gpg", "--batch", "--yes", "--local-user", signer, "--armor", "--detach-sign",
            "--output", signature, here / "MANIFEST.json",
        )  # fmt: skip
        for changed in ("CHANGELOG.md", "changelogs/changelog.yaml"):
            shutil.copy(source / changed, output)
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    print(f"{tarball}: built twice, the same both times, SHA-256 {digest}\n{signature}: by {signer}")
    print(f"{tarball}.cdx.json, {output}/CHANGELOG.md, {output}/changelog.yaml")


def readme_lines(readme: str) -> str:
    """What the README says to do with a tarball, as a script: its commands, and the playbook that they name."""
    section = next(part for part in re.split(r"^## ", readme, flags=re.MULTILINE) if "collection install" in part)
    blocks = re.findall(r"^```(sh|yaml)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    commands = [line for kind, text in blocks if kind == "sh" for line in text.splitlines()]
    begin = next(number for number, line in enumerate(commands) if "collection install" in line)
    playbook = next(text for kind, text in blocks if kind == "yaml")
    script = []
    for line in commands[begin:]:  # before that, a clone is needed
        if "deploy.yml" in line and not any("deploy.yml" in earlier for earlier in script):
            script.append(f"cat >deploy.yml <<'END'\n{playbook}END")
        script.append(line)
    if not any("destroy" in line for line in script):
        script.append("ansible-playbook -i inventories/demo immutable.compose.destroy")
    return "\n".join(["set -eux", *script])


def attempt(tarball: Path) -> None:
    """Follow the README with a tarball: in an empty home, with Ansible alone, and no state of other deployments."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        run(sys.executable, "-m", "venv", home / "ansible")
        run(home / "ansible/bin/pip", "install", "--quiet", "--disable-pip-version-check", "ansible-core")
        shutil.copy(tarball, home)
        with tarfile.open(tarball) as archive:
            readme = t.cast("t.IO[bytes]", archive.extractfile("README.md")).read().decode()
        (home / "state").mkdir()
        (home / "readme.sh").write_text(readme_lines(readme))
        hide = "mkdir -p /var/lib/immutable-compose; mount --bind state /var/lib/immutable-compose; exec bash readme.sh"
        root = os.geteuid() == 0
        command = ["unshare", "--mount", "sh", "-c", hide] if root else ["bash", "readme.sh"]
        path = f"{home}/ansible/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            command, cwd=home, env={"HOME": str(home), "PATH": path, "LC_ALL": "C.UTF-8"}, check=False
        )
        if done.returncode:
            raise Refused(f"the README's lines end with exit code {done.returncode}")
    print(f"{tarball}: installed and used as the README says")


if __name__ == "__main__":
    try:
        {"make": make, "try": attempt}[sys.argv[1]](Path(sys.argv[2]).resolve())
    except Refused as error:
        sys.exit(f"no release: {error}")
