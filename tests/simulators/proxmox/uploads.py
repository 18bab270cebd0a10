"""Uploads as the server takes them: fields in a fixed order, then the file, written to a temporary place."""

from __future__ import annotations

import re
import secrets
import typing as t
from pathlib import Path

FIELDS = ("content", "checksum-algorithm", "checksum")
NEWLINE = rb"\r?\n"
#: So much of the body is searched for the fields before the file.
HEAD = 1 << 20
CHUNK = 1 << 20


class UploadError(Exception):
    """The body is not taken.

    :param status: of the answer
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Body:
    """The rest of a request's body."""

    def __init__(self, stream: t.BinaryIO, length: int) -> None:
        self._stream, self.left, self.taken = stream, length, 0

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; empty at the end."""
        data = self._stream.read(min(size, self.left)) if self.left else b""
        self.left -= len(data)
        self.taken += len(data)
        return data


def receive(body: Body, boundary: bytes, directory: Path, stop_after: int | None = None) -> dict[str, str]:
    """Writes the file of a form into a directory; the fields, with ``filename`` and ``tmpfilename``.

    The fields are looked for one after the other, each at the beginning of what is left; a field that is out of this
    order makes the request a bad one.

    :param stop_after: the connection breaks after so many bytes
    :raises ConnectionResetError: because of ``stop_after``
    """
    delimiter = b"--" + re.escape(boundary) + NEWLINE
    buffer, fields = _head(body, boundary), dict[str, str]()
    start = re.search(delimiter, buffer)
    if start is None:
        raise UploadError(500, "upload failed")
    buffer = buffer[start.start() :]
    for name in FIELDS:
        pattern = rb'\A%s.*?Content-Disposition: (.*?); name="%s"(.*?%s)' % (delimiter, name.encode(), delimiter)
        match = re.search(pattern, buffer, re.DOTALL)
        if match is None:
            continue
        _check_disposition(match[1])
        rest = re.sub(rb"\A.*?(?:%s){2}" % NEWLINE, b"", buffer[match.start(2) :], count=1, flags=re.DOTALL)
        end = re.search(delimiter, rest)
        if end is None:
            raise UploadError(500, "upload failed")
        fields[name], buffer = rest[: end.start()].decode().strip(), rest[end.start() :]
    pattern = rb'\A%sContent-Disposition: (.*?); name="(.*?)"; filename="([^"]+)"' % delimiter
    match = re.search(pattern, buffer, re.DOTALL)
    if match is None:
        raise UploadError(500, "upload failed")
    _check_disposition(match[1])
    if match[2] != b"filename":
        _bad(f"wrong field name '{match[2].decode()}' for file upload, expected 'filename'")
    fields["filename"] = match[3].decode().strip()
    buffer = re.sub(rb"\A.*?(?:%s){2}" % NEWLINE, b"", buffer[match.end() :], count=1, flags=re.DOTALL)
    name = f"pveupload-{secrets.token_hex(16)}"
    directory.mkdir(exist_ok=True)
    _write(body, buffer, boundary, directory / name, stop_after)
    fields["tmpfilename"] = f"/var/tmp/{name}"
    return fields


def _head(body: Body, boundary: bytes) -> bytes:
    """So much of the body that the file has begun."""
    buffer = b""
    while len(buffer) < HEAD and not re.search(rb'filename="[^"]+".*?(?:%s){2}' % NEWLINE, buffer, re.DOTALL):
        data = body.read(4096)
        if not data:
            break
        buffer += data
    return buffer


def _check_disposition(found: bytes) -> None:
    if found != b"form-data":
        _bad(f"wrong Content-Disposition '{found.decode()}' in multipart, expected 'form-data'")


def _bad(message: str) -> t.NoReturn:
    """A message of several lines cannot be a reason phrase; the server says 400 then."""
    if "\r" in message or "\n" in message:
        raise UploadError(400, "")
    raise UploadError(500, message)


def _write(body: Body, buffer: bytes, boundary: bytes, target: Path, stop_after: int | None) -> None:
    end = re.compile(NEWLINE + b"--" + re.escape(boundary) + b"--")
    keep = len(boundary) + 8
    with target.open("wb") as file:
        while True:
            match = end.search(buffer)
            if match:
                file.write(buffer[: match.start()])
                break
            if len(buffer) > keep:
                file.write(buffer[:-keep])
                buffer = buffer[-keep:]
            if stop_after is not None and body.taken >= stop_after:
                file.close()
                target.unlink()
                raise ConnectionResetError
            data = body.read(min(CHUNK, stop_after or CHUNK))
            if not data:
                target.unlink()
                raise UploadError(500, "upload failed")
            buffer += data
    while body.read(CHUNK):
        pass
