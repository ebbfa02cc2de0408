"""What a run does again and what it leaves alone, and what workers may answer."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from quietspec import __version__
from quietspec.batch import ClusterOptions, Cube, Job, Outcome, Settings, batch_status, run_batch
from quietspec.batch.state import place
from quietspec.batch.task import _denoise, denoise_cube, model_name, page
from quietspec.errors import BatchError

from .conftest import DENOISER, save_cube

SETTINGS = Settings(denoiser=DENOISER)
NAMES = ["a.fits", "b.fits"]


class Small:
    """A batch of two tiny cubes, and a way to run it that tells which outputs were written anew."""

    def __init__(self, folder, scheduler: str) -> None:
        self.out = folder / "out"
        self.inputs = [save_cube(folder / f"in_{name}", 1.0 + number, side=2) for number, name in enumerate(NAMES)]
        self.cubes = [Cube((str(path),), name) for path, name in zip(self.inputs, NAMES, strict=True)]
        self.scheduler = scheduler

    def run(self, settings: Settings = SETTINGS, retries: int = 2, **options):
        before = self._identities()
        self.report = run_batch(self.cubes, self.out, settings, self.cluster(retries), **options)
        after = self._identities()
        return [name for name in NAMES if name in after and after[name] != before.get(name)]

    def cluster(self, retries: int = 2) -> ClusterOptions:
        return ClusterOptions(scheduler=self.scheduler, retries=retries)

    def _identities(self) -> dict[str, int]:
        return {path.name: path.lstat().st_ino for path in self.out.glob("*.fits")}


@pytest.fixture
def small(tmp_path, threads) -> Small:
    return Small(tmp_path, threads)


@pytest.fixture
def finished(small) -> Small:
    assert small.run() == NAMES
    assert small.report.complete
    return small


def test_what_is_whole_is_left_alone(finished):
    assert finished.run() == []
    assert finished.report.counts["kept"] == 2
    assert finished.report.complete


def test_outputs_say_what_made_them(finished):
    with fits.open(finished.out / "a.fits") as hdus:
        assert hdus[0].header["QSINPUT"] == str(finished.inputs[0])
    entry = finished.report.cubes[0]
    assert entry["n_spectra"] == 4
    assert entry["size"] == (finished.out / "a.fits").stat().st_size
    assert entry["snr_after"] > entry["snr_before"] > 0


def test_changed_input_is_done_again(finished):
    with fits.open(finished.inputs[0], mode="update") as hdus:
        hdus["DATA"].data[:] += 1
    assert finished.run() == ["a.fits"]
    assert finished.run() == []


def test_touched_input_is_not(finished):
    os.utime(finished.inputs[0])
    assert finished.run() == []


def test_input_that_was_archived_leaves_its_output(finished):
    finished.inputs[0].unlink()
    assert finished.run() == []
    assert finished.report.complete


@pytest.mark.parametrize("damage", ["lost", "shortened", "altered"])
def test_damaged_output_is_done_again(finished, damage):
    output = finished.out / "a.fits"
    content = bytearray(output.read_bytes())
    if damage == "lost":
        output.unlink()
    else:
        content[20_000] ^= 1
        output.write_bytes(content[:-2880] if damage == "shortened" else content)
    assert finished.run() == ["a.fits"]
    with fits.open(output, checksum=True) as hdus:
        assert np.isfinite(hdus["FLUX"].data).any()
    assert finished.run() == []


def test_quick_look_sees_time_and_size_only(finished):
    output = finished.out / "a.fits"
    stamp, content = output.stat(), bytearray(output.read_bytes())
    content[20_000] ^= 1
    output.write_bytes(content)
    os.utime(output, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    quick = replace(SETTINGS, quick=True)
    finished.run(quick)
    assert finished.report.counts["kept"] == 2
    os.utime(output)
    finished.run(quick)
    assert finished.report.counts["kept"] == 1


def test_other_options_or_model(finished):
    finished.cubes[0] = replace(finished.cubes[0], options={"fwhm": 2.0})
    assert finished.run() == ["a.fits"]
    assert finished.run(replace(SETTINGS, denoiser="gaussian")) == NAMES
    assert fits.getheader(finished.out / "a.fits")["QSMODEL"].startswith("Gaussian")


@pytest.mark.parametrize("damage", [{"facts": {}}, {"facts": "none"}, {"attempts": "two"}, {"output": ["a.fits"]}])
def test_damage_of_the_journal_loses_no_cube(finished, damage):
    path = place(finished.out, "journal.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    (number,) = (n for n, line in enumerate(lines) if '"a.fits", "event": "done"' in line)
    lines[number] = json.dumps(json.loads(lines[number]) | damage) + "\n"
    path.write_text("".join(lines))
    assert not batch_status(finished.out).complete
    assert finished.run() == ["a.fits"]
    assert finished.report.complete


def test_status_knows_what_another_model_made(finished):
    def leave(job: Job) -> Outcome:
        return Outcome("refused", {"reason": "no"})

    with pytest.raises(BatchError, match="no"):
        finished.run(replace(SETTINGS, denoiser="gaussian"), work=leave)
    assert batch_status(finished.out).counts["waiting"] == 2


def test_overwrite_does_all_again(finished):
    assert finished.run(replace(SETTINGS, overwrite=True)) == NAMES


def test_file_of_another_is_not_replaced(small):
    small.out.mkdir()
    (small.out / "a.fits").write_text("precious")
    for _ in range(2):  # nor by the second run
        small.run()
        assert (small.out / "a.fits").read_text() == "precious"
        assert small.report.cubes[0]["status"] == "failed"
        assert "a.fits: exists already, and this batch did not write it" in small.report.cubes[0]["reason"]
    small.run(replace(SETTINGS, overwrite=True))
    assert small.report.complete


def test_failed_cubes_are_tried_again_by_the_next_run(small):
    content = small.inputs[0].read_bytes()
    small.inputs[0].write_bytes(content[:5000])
    small.run()
    assert small.report.counts["failed"] == 1
    small.inputs[0].write_bytes(content)
    assert small.run() == ["a.fits"]
    assert small.report.complete


def test_output_over_an_input(small):
    small.cubes[1] = replace(small.cubes[1], output=small.inputs[0].name)
    with pytest.raises(BatchError, match=r"row 2: its output .*in_a\.fits is the input of row 1"):
        run_batch(small.cubes, small.inputs[0].parent, SETTINGS, small.cluster())


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_output_that_leads_to_an_input(small, link):
    small.out.mkdir()
    getattr(small.out / "b.fits", link)(small.inputs[0])
    with pytest.raises(BatchError, match=r"row 2: its output .*b\.fits is the input of row 1"):
        small.run(replace(SETTINGS, overwrite=True))
    assert fits.getheader(small.inputs[0]).get("QSINPUT") is None


def test_outputs_that_lead_to_one_file(small, tmp_path):
    small.out.mkdir()
    (tmp_path / "elsewhere.fits").write_text("precious")
    for name in NAMES:
        (small.out / name).symlink_to(tmp_path / "elsewhere.fits")
    with pytest.raises(BatchError, match=r"row 2: its output .*b\.fits is the output of row 1 too"):
        small.run(replace(SETTINGS, overwrite=True))


def test_outputs_that_cannot_be_fail_alone(small):
    small.cubes[0] = replace(small.cubes[0], output=300 * "a" + ".fits")
    small.out.mkdir()
    (small.out / "c.fits").symlink_to(small.out / "c.fits")
    small.cubes.append(replace(small.cubes[1], output="c.fits"))
    assert small.run(retries=0) == ["b.fits"]
    assert [cube["status"] for cube in small.report.cubes] == ["failed", "done", "failed"]
    assert "File name too long" in small.report.cubes[0]["reason"]


def test_a_bug_costs_one_cube_and_asks_for_a_report(small):
    def stumble(job: Job) -> Outcome:
        from quietspec.batch import task

        if job.cube.output == "a.fits":
            task._denoise = lambda _: {}["nothing"]
        try:
            return denoise_cube(job)
        finally:
            task._denoise = honest

    honest = _denoise
    small.run(work=stumble, retries=0)
    assert [cube["status"] for cube in small.report.cubes] == ["failed", "done"]
    reason = small.report.cubes[0]["reason"]
    assert reason == f"{small.inputs[0]}: KeyError: 'nothing' (a bug of quietspec: please report it)"


def test_arms(tmp_path, threads):
    from ..io import layouts

    arms = [tmp_path / f"{arm}.fits" for arm in ("blue", "red")]
    for path in arms:
        layouts.sami(path.stem).writeto(path)
    cube = Cube(tuple(map(str, arms)), "both.fits")
    for kept in (0, 1):
        report = run_batch([cube], tmp_path / "out", SETTINGS, ClusterOptions(scheduler=threads))
        assert (report.complete, report.counts["kept"]) == (True, kept)
    assert fits.getheader(tmp_path / "out" / "both.fits")["QSINPUT2"] == str(arms[1])


def test_errors_that_may_pass_are_tried_again_the_last_time_alone(small, tmp_path):
    tries = tmp_path / "tries"

    def unsure(job: Job) -> Outcome:
        if job.cube.output == "b.fits":
            return denoise_cube(job)
        with tries.open("a") as file:
            file.write(".")
        if len(tries.read_text()) < 3:
            raise OSError("stale file handle")
        return denoise_cube(job)

    said: list[str] = []
    small.run(work=unsure, say=said.append)
    assert small.report.complete
    assert [cube["attempts"] for cube in small.report.cubes] == [3, 1]
    assert sum("a.fits: to be tried again (a.fits: OSError: stale file handle)" in line for line in said) == 2


@pytest.mark.parametrize("retries", [0, 2])
def test_tries_are_limited(small, retries):
    def never(job: Job) -> Outcome:
        raise MemoryError("too large")

    small.run(work=never, retries=retries)
    assert small.report.counts["failed"] == 2
    assert {cube["attempts"] for cube in small.report.cubes} == {retries + 1}
    assert all("MemoryError: too large" in cube["reason"] for cube in small.report.cubes)


def test_workers_without_quietspec(small):
    def foreign(job: Job) -> Outcome:
        raise ModuleNotFoundError("No module named 'quietspec'")

    with pytest.raises(BatchError, match="the workers cannot import what they need"):
        small.run(work=foreign)


@pytest.mark.parametrize(
    ("change", "says"), [({"version": "0.0.1"}, "a worker has quietspec"), ({"model": "other"}, "a worker's model is")]
)
def test_workers_that_have_something_else_refuse(finished, change, says):
    job = Job(finished.cubes[0], str(finished.out), "", "", SETTINGS)

    job = replace(job, **{"version": __version__, "model": model_name(SETTINGS)} | change)
    outcome = denoise_cube(job)
    assert outcome.status == "refused"
    assert says in outcome.facts["reason"]


def test_picture_that_cannot_be_drawn_costs_a_warning(small):
    (small.out / "batch" / "thumbnails" / "a.fits.png").mkdir(parents=True)
    small.run()
    assert small.report.complete
    assert any("a.fits.png" in warning for warning in small.report.cubes[0]["warnings"])


def test_pages_are_written_where_they_are_asked_for(finished):
    settings = replace(SETTINGS, reports=True, overwrite=True)
    page(finished.out, "").parent.mkdir(exist_ok=True)
    outcome = denoise_cube(Job(finished.cubes[0], str(finished.out), model_name(settings), __version__, settings))
    assert outcome.status == "done"
    assert "quietspec report" in page(finished.out, finished.cubes[0].output).read_text(encoding="utf-8")
