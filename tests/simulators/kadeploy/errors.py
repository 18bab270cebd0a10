"""Errors in the words and shapes of Kadeploy's REST interface."""

from __future__ import annotations

import typing as t

CONFIGURATION, WORKFLOW, NODELIST, CLIENT, OPTION, FILE, RIGHTS, ENVIRONMENT, CUSTOM_OPERATION, VLAN = range(10)
EXISTING, CONFLICTING_ELEMENTS, MISSING_OPTION, CONFLICTING_OPTIONS, NOTHING_MODIFIED, EXECUTE = range(10, 16)
DATABASE, CACHE, CACHE_FULL, DESTRUCTIVE = 20, 21, 22, 30

TEXTS: t.Final[dict[int, str]] = {
    CONFIGURATION: "Error in configuration files",
    WORKFLOW: "Invalid workflow ID",
    NODELIST: "Invalid node list",
    CLIENT: "Invalid client's export",
    OPTION: "Invalid option in the request",
    FILE: "Invalid file",
    RIGHTS: "You do not have sufficient rights to perform the operation on all the nodes",
    ENVIRONMENT: "Invalid environment specification",
    CUSTOM_OPERATION: "Invalid custom operations specification",
    VLAN: "Invalid VLAN",
    EXISTING: "Element already exists",
    CONFLICTING_ELEMENTS: "Some elements already exists and are conflicting",
    MISSING_OPTION: "Some options are missing",
    CONFLICTING_OPTIONS: "Some options are conflicting",
    NOTHING_MODIFIED: "No element has been modified",
    EXECUTE: "The execution of a command failed",
    DATABASE: "Database issue",
    CACHE: "Something went wrong with the cache system",
    CACHE_FULL: "The cache is full",
    DESTRUCTIVE: "Cannot reboot since the last deployed environment was destructive",
}

#: The message of an exception that was raised without one is its class.
_NOT_FOUND = "Kadeploy::HTTPd::NotFoundError"


class KadeployError(Exception):
    """What Kadeploy refuses: answered as 400 with the number in a header.

    :param code: one of the numbers above
    """

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def text(self) -> str:
        """The body of the answer, without its line feed."""
        return TEXTS[self.code] + (f" -- {self.message}" if self.message else "")


class HttpError(Exception):
    """What is answered with an HTTP status of its own."""

    def __init__(self, status: int, name: str, message: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.text = name + (f" -- {message}" if message else "")


class Crash(Exception):
    """A bug of the server: a Ruby exception, answered as 500 with its stack.

    :param where: file, line and method, as Ruby tells them
    """

    def __init__(self, name: str, message: str, where: str) -> None:
        super().__init__(message)
        self.text = "\n".join((f"---- {name} ----", message, "---- Stack trace ----", where, *_STACK, "-" * 21))


def not_found(what: str = _NOT_FOUND) -> HttpError:
    """404."""
    return HttpError(404, "File Not Found", what)


def forbidden(why: str = "You do not the rights to perform this operation") -> HttpError:
    """403."""
    return HttpError(403, "Forbidden", why)


_STACK = (
    "/usr/lib/ruby/kadeploy3/server/server.rb:401:in `run_method'",
    "/usr/lib/ruby/kadeploy3/server/server.rb:447:in `launch'",
    "/usr/lib/ruby/kadeploy3/common/httpd.rb:480:in `handle'",
    "/usr/lib/ruby/kadeploy3/common/httpd.rb:558:in `handle'",
    "/usr/lib/ruby/kadeploy3/common/httpd.rb:327:in `block in treatment'",
    "/usr/lib/ruby/3.1.0/timeout.rb:107:in `block in timeout'",
    "/usr/lib/ruby/3.1.0/timeout.rb:117:in `timeout'",
    "/usr/lib/ruby/kadeploy3/common/httpd.rb:325:in `treatment'",
    "/usr/lib/ruby/kadeploy3/common/httpd.rb:336:in `do_METHOD'",
    "/usr/share/rubygems-integration/all/gems/webrick-1.8.1/lib/webrick/httpservlet/abstract.rb:105:in `service'",
    "/usr/share/rubygems-integration/all/gems/webrick-1.8.1/lib/webrick/httpserver.rb:140:in `service'",
    "/usr/share/rubygems-integration/all/gems/webrick-1.8.1/lib/webrick/httpserver.rb:96:in `run'",
    "/usr/share/rubygems-integration/all/gems/webrick-1.8.1/lib/webrick/server.rb:310:in `block in start_thread'",
)
