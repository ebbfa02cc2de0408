"""The server of the page: on this machine only, behind a token, read-only."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from select import select
from socket import MSG_PEEK
from threading import Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, quote, urlsplit

from quietspec.errors import QuietspecError, ViewError
from quietspec.view.answers import ANSWERS
from quietspec.view.bins import BIN_EXPORTS
from quietspec.view.document import Document
from quietspec.view.encoding import as_json
from quietspec.view.export import EXPORTS

if TYPE_CHECKING:
    from quietspec.spectra import Spectra

__all__ = ["ViewServer"]

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".LICENSE": "text/plain; charset=utf-8",
}  # fmt: skip
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self' http://localhost:* http://127.0.0.1:*"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FILES = {**EXPORTS, **BIN_EXPORTS}
_LONGEST = 65_536  # bytes of a request's line: a polygon of 500 vertices fits
_PATIENCE = 60.0  # seconds that a connection may be silent


def _static() -> dict[str, tuple[str, bytes]]:
    """All files of the page: type and content by their path."""
    root = Path(str(files("quietspec.view") / "static"))
    found = [path for path in root.rglob("*") if path.suffix in _TYPES]
    return {path.relative_to(root).as_posix(): (_TYPES[path.suffix], path.read_bytes()) for path in found}


class _Handler(BaseHTTPRequestHandler):
    """Answers requests; anything but reading is refused."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "quietspec", ""
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        """Answer a request; none once the server is closed, though the connection may still be there."""
        if self.server.closed:
            self.close_connection = True
            return
        try:
            status, kind, body, extra = self._answer()
        except ViewError as error:
            status, kind, body, extra = HTTPStatus.BAD_REQUEST, *_message(error)
        except (QuietspecError, OSError) as error:
            status, kind, body, extra = HTTPStatus.INTERNAL_SERVER_ERROR, *_message(error)
        except Exception as error:  # noqa: BLE001  (the page says it; the server goes on)
            reason = f"{type(error).__name__}: {error}. This is a fault of quietspec: please report it."
            status, kind, body, extra = HTTPStatus.INTERNAL_SERVER_ERROR, *_message(reason)
        self._send(status, kind, body, extra)

    def do_HEAD(self) -> None:
        """Answer without the content."""
        self.do_GET()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def _refuse_method(self) -> None:
        self.close_connection = True  # whatever the request carries is not read
        kind, body, _ = _message("this server is read-only.")
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, kind, body, {"Allow": "GET, HEAD"})

    def _answer(self) -> tuple[HTTPStatus, str, bytes, dict[str, str]]:
        if not self._is_local():
            return HTTPStatus.FORBIDDEN, *_message("this server answers to its own name only; see --allow-host.")
        url = urlsplit(self.path)
        _, token, *rest = url.path.split("/", 2) if url.path.startswith("/") else ("", "")
        if not compare_digest(token.encode(), self.server.token.encode()):
            return HTTPStatus.FORBIDDEN, *_message("wrong token: use the address that quietspec printed.")
        if not rest:
            return HTTPStatus.MOVED_PERMANENTLY, "text/plain", b"", {"Location": f"{token}/"}
        return self._page(rest[0], dict(parse_qsl(url.query, keep_blank_values=True)))

    def _page(self, name: str, query: dict[str, str]) -> tuple[HTTPStatus, str, bytes, dict[str, str]]:
        documents, folder, last = self.server.documents, *name.rpartition("/")[::2]
        for document in documents:
            document.asked()
        if folder == "api" and last in ANSWERS:
            return HTTPStatus.OK, "application/json", as_json(ANSWERS[last](documents, query, self._abandoned)), {}
        if folder == "api" and last in _FILES:
            filename, body = _FILES[last](documents, query, self._abandoned)
            shown = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename)}"}
            kind = "application/fits" if last.endswith(".fits") else "text/plain; charset=utf-8"
            return HTTPStatus.OK, kind, body, shown
        if (name or "index.html") in self.server.static:
            kind, body = self.server.static[name or "index.html"]
            return HTTPStatus.OK, kind, body, {}
        return HTTPStatus.NOT_FOUND, *_message("there is nothing here.")

    def _is_local(self) -> bool:
        """Whether the request is for this machine by its own name; pages of others that point here are not."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname if self._has_one_host() else None
        return host is not None and host in self.server.hosts

    def _has_one_host(self) -> bool:
        hosts = self.headers.get_all("Host", [])
        return len(hosts) == 1 and not set(hosts[0]) & set("/?#@\\ ")

    def _abandoned(self) -> bool:
        """Whether the page has closed the connection, since it wants something else by now."""
        try:
            readable, _, _ = select([self.connection], [], [], 0)
            return bool(readable) and self.connection.recv(1, MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def _send(self, status: HTTPStatus, kind: str, body: bytes, extra: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | _HEADERS | extra).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except OSError:  # whoever asked has gone
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Keep quiet: requests hold the token."""


def _message(error: object) -> tuple[str, bytes, dict[str, str]]:
    """Type, body and further headers of an answer that says what is wrong."""
    return "application/json", as_json({"error": str(error)}), {}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, documents: Sequence[Document], token: str, hosts: Collection[str]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.documents, self.token, self.static = documents, token, _static()
        self.hosts = _LOCAL | {host.lower() for host in hosts}
        self.closed = False

    def handle_error(self, *_: object) -> None:
        """Keep quiet about connections that end in the middle."""


def _lend(documents: Sequence[Document], data: Spectra | None) -> None:
    """Give denoised files without their data those in memory, or those of the file beside them."""
    for document in documents:
        if document.kind != "denoised" or document.spectra is None:
            continue
        if data is not None:
            document.spectra.take_data(data.__getitem__)
        for other in documents:
            given = other.spectra
            if other.kind == "spectra" and given is not None and document.spectra.fits(given.source):
                document.spectra.take_data(given.data)


class ViewServer:
    """A page that shows one file, or two beside each other.

    Parameters
    ----------
    *paths : path
        One file or two.
    port : int, optional
        Port; any that is free by default.
    hosts : collection of str, optional
        Further names under which the page may be asked for, such as that of a JupyterHub.
    inputs : sequence of path, optional
        What was denoised: the file, or the arms of one object; for denoised files that lie elsewhere than these. Where
        one of two files is denoised and the other may be its input, it is taken as such.
    data : Spectra, optional
        The same in memory, for the first file.
    **options
        Fields of `quietspec.io.ReadOptions`, for spectra that quietspec did not write.

    Attributes
    ----------
    port : int
        Its port.
    token : str
        Random text in the address, without which nothing is shown.

    Raises
    ------
    ReadError
        If a file cannot be read.
    ViewError
        If there are not one or two files, or the port is taken.

    Examples
    --------
    >>> import quietspec
    >>> with ViewServer(quietspec.demo_cube()) as server:
    ...     server.address.startswith(f"http://127.0.0.1:{server.port}/")
    True
    """

    def __init__(
        self,
        *paths: Any,
        port: int = 0,
        hosts: Collection[str] = (),
        inputs: Sequence[Any] = (),
        data: Spectra | None = None,
        **options: Any,
    ) -> None:
        if not 1 <= len(paths) <= 2:
            raise ViewError("give one file, or two to compare.")
        self.token = secrets.token_urlsafe(24)
        self.documents: list[Document] = []
        try:
            for path in paths:
                self.documents.append(Document(path, inputs, **options))
            if inputs and all(document.kind != "denoised" for document in self.documents):
                raise ViewError("an input is that of a denoised file, and none of these is one: leave out --input.")
            _lend(self.documents, data)
            self._server = _Server(port, self.documents, self.token, hosts)
        except OSError as error:
            self._close_documents()
            raise ViewError(
                f"port {port} cannot be used ({error.strerror}). Choose another: port=, or none."
            ) from error
        except BaseException:
            self._close_documents()
            raise
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def address(self) -> str:
        """Address of the page."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def start(self) -> None:
        """Begin to answer, in the background."""
        self._thread.start()
        for document in self.documents:
            document.start()

    def wait(self) -> None:
        """Wait until the server is closed."""
        self._thread.join()

    def close(self) -> None:
        """Stop answering, and close the files."""
        self._server.closed = True
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._close_documents()

    def _close_documents(self) -> None:
        for document in self.documents:
            document.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
