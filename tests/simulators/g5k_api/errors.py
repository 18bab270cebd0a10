"""Errors in the words of the API: plain text."""

from __future__ import annotations


class ApiError(Exception):
    """What is answered with an HTTP status and a text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Unauthorized(Exception):
    """Nobody is logged in: the web server before the API says so."""


def forbidden() -> ApiError:
    """403."""
    return ApiError(403, "You are not authorized to access this resource")


UNAUTHORIZED = """\
<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01//EN" "http://www.w3.org/TR/html4/strict.dtd">
<html><head>
<title>401 Unauthorized</title>
</head><body>
<h1>Unauthorized</h1>
<p>This server could not verify that you
are authorized to access the document
requested.  Either you supplied the wrong
credentials (e.g., bad password), or your
browser doesn't understand how to supply
the credentials required.</p>
</body></html>
"""
