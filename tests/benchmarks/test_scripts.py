"""Every script in benchmarks/ runs, at a tiny size, and writes what it says."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from quietspec.denoisers import load_prior
from quietspec.io.fetching import cached
from quietspec.lab.simulate import UltravioletRecipe

from ..denoisers.posterior.rest_frame import rest_prior

FOLDER = Path(__file__).parents[2] / "benchmarks"
if not FOLDER.exists():
    pytest.skip("the benchmarks are not part of this distribution", allow_module_level=True)

COMMON = {"machine", "command", "commit", "dependencies"}
NEEDS = {  # scripts that need fetched data or the extras of others
    "beside_release": ("muse-a478",),
    "file_speed": ("muse-a478",),
    "cube_cost": ("muse-a478", "miles"),
    "card_scores": ("miles",),
    "cube_pulls": ("muse-a478",),
    "degrade_real_spectra": ("manga",),
    "kinematics": ("ngc3522",),
    "learn_calibration": ("legac",),
    "observed_truth": ("muse-a478",),
    "real_populations": ("ngc3522",),
    "library_resolution": ("m11-elodie", "miles"),
    "ultraviolet": (*UltravioletRecipe.data_sets(), "legac"),
}


@pytest.fixture(scope="module")
def library_file(tiny_library, tmp_path_factory) -> Path:
    """The small library in a file, in the form of pPXF."""
    path = tmp_path_factory.mktemp("library") / "spectra_tiny.npz"
    shape = (tiny_library.n_ssp // 3, 3)
    np.savez(
        path, templates=tiny_library.spectra.T.reshape(-1, *shape), lam=tiny_library.wavelength,
        ages=10 ** (tiny_library.log_ages - 9), metals=tiny_library.metallicities, fwhm=tiny_library.fwhm[0],
    )  # fmt: skip
    return path


@pytest.fixture
def run(monkeypatch, capsys, library_file):
    """Run a script in this process, and return what it printed."""

    def run(name: str, *options: object, library: bool = False) -> str:
        for data in NEEDS.get(name, ()):
            if cached(data) is None:
                pytest.skip(f"needs `quietspec fetch {data}`")
        words = [*map(str, options), *(["--library", str(library_file)] if library else [])]
        monkeypatch.setattr(sys, "argv", [str(FOLDER / f"{name}.py"), *words])
        monkeypatch.syspath_prepend(str(FOLDER))
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run


def results(path: Path) -> dict:
    """Content of a results file, which says what made it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content.keys() >= COMMON
    assert content["command"].startswith("python benchmarks/")
    return content


@pytest.fixture
def nothing_fetched(monkeypatch, tmp_path) -> None:
    """An empty cache: real spectra are left out."""
    monkeypatch.setenv("QUIETSPEC_CACHE", str(tmp_path / "cache"))


def test_every_script_has_its_test() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"script"}
    source = Path(__file__).read_text(encoding="utf-8").replace("\n", "").replace(" ", "")
    assert [name for name in sorted(scripts) if f'run("{name}"' not in source] == []


def test_fuzz(run, tmp_path) -> None:
    with pytest.raises(SystemExit) as ended:
        run("fuzz", "-n", 8, "--json", tmp_path / "fuzz.json")
    assert ended.value.code == 0
    assert json.loads((tmp_path / "fuzz.json").read_text())["inputs"] == 8


def test_kinematics(run) -> None:
    assert "posterior" in run("kinematics", "simulated", "--snr", 20, "-n", 4, library=True)
    assert "sigma" in run("kinematics", "bins", "--snr", 20, "-n", 60, library=True)


@pytest.mark.fetched
def test_beside_release(run, tmp_path) -> None:
    words = ("--release", sys.executable, "--snr", 20, "-n", 3, "--spaxels", 8, "--json", tmp_path / "beside.json")
    run("beside_release", *words, library=True)
    (scores,) = json.loads((tmp_path / "beside.json").read_text(encoding="utf-8"))["scores"]
    assert set(scores["ratios"].values()) == {1.0}  # beside itself


@pytest.mark.slow
def test_file_speed(run, tmp_path) -> None:
    words = ("--release", sys.executable, "--repeats", 1, "--sides", 1, 3, "--json", tmp_path / "found.json")
    run("file_speed", *words, "--worker-sides", 2, 4)
    found = results(tmp_path / "found.json")
    assert found["spectra"] == [1, 9]
    assert found["workers"]["spectra"] == [4, 16]
    assert 0.1 < found["measure"]["memory_gb"] < 10


def test_start_up(run, tmp_path) -> None:
    run("start_up", "--release", sys.executable, "--repeats", 1, "--json", tmp_path / "found.json")
    found = results(tmp_path / "found.json")["seconds of processor time"]
    assert found["import quietspec"]["now"] < found["first spectrum"]["now"]
    assert found["quietspec --help"]["ratio"] == round(
        found["quietspec --help"]["now"] / found["quietspec --help"]["release"], 3
    )


@pytest.mark.slow
def test_cube_cost(run, tmp_path) -> None:
    words = ("--sides", 2, 5, "--mosaics", 1, 2, "--mosaic-side", 3, "--full", 6)
    run("cube_cost", *words, "--json", tmp_path / "found.json")
    found = results(tmp_path / "found.json")
    assert found["costs"]["spatial"].keys() == {"4", "25"}
    assert found["mosaics"].keys() == {"9", "36"}
    assert found["simulated"]["spaxels"] == 36


@pytest.mark.fetched
def test_cube_pulls(run, tmp_path) -> None:
    run("cube_pulls", "--side", 8, "--json", tmp_path / "found.json")
    found = results(tmp_path / "found.json")
    assert found["spaxels"] > 20
    assert 0.1 < found["rms"]["velocity"] < 3


def test_cube_sums(run, tmp_path) -> None:
    words = ("--worlds", "smooth", "--snrs", 30, "--size", 6, "--spaxels", 6, 20, "--apertures", 2)
    run("cube_sums", *words, "--json", tmp_path / "found.json", library=True)
    found = results(tmp_path / "found.json")
    assert {one["n_spaxels"] for one in found["all"]} == {6, 20}
    shared, summed, alone = (
        next(one["rms"] for one in found["all"] if one["method"].startswith(way) and one["n_spaxels"] == 20)
        for way in ("added up", "as sums", "added in")
    )
    assert shared < summed < alone


def test_cube_gas(run, tmp_path) -> None:
    words = ("--worlds", "clumps", "--snr", 30, "--size", 9, "--seed", 4)
    run("cube_gas", *words, "--json", tmp_path / "found.json", library=True)
    found = results(tmp_path / "found.json")
    assert found["galaxies"].keys() == {"clumps"}
    assert found["all"]["spatial"]["0–1"]["spaxels"] == found["all"]["spaxels"]["0–1"]["spaxels"]
    alone, together = (found["all"][who]["1–5"] for who in ("spaxels", "spatial"))
    assert together["velocity"]["stated"] < alone["velocity"]["stated"]


@pytest.mark.usefixtures("nothing_fetched")
def test_approximations(run, tmp_path) -> None:
    run("approximations", "-n", 2, "--json", tmp_path / "found.json", library=True)
    (table,) = results(tmp_path / "found.json")["tables"]
    found = {row[0]: [float(number) for cell in row[1:4] for number in cell.split(", ")] for row in table["rows"]}
    assert set(found) == {"MUSE", "MaNGA", "SAMI"}
    assert max(max(numbers) for numbers in found.values()) < 20  # per cent of the error


@pytest.mark.fetched
def test_card_scores(run, tmp_path) -> None:
    shutil.copy(FOLDER.parent / "src/quietspec/models/paper.json", tmp_path)
    run("card_scores", "--models", "paper", "--install", tmp_path, "--json", tmp_path / "found.json")
    scores = results(tmp_path / "found.json")["scores"]["paper"]
    assert scores["models"]["posterior"]["5"]["rms_reduction"] > scores["models"]["pca"]["5"]["rms_reduction"]
    assert json.loads((tmp_path / "paper.json").read_text(encoding="utf-8"))["scores"] == scores


def test_batch_overhead(run, tmp_path) -> None:
    pytest.importorskip("distributed")
    run("batch_overhead", "-n", 3, "--workers", 1, "--json", tmp_path / "found.json")
    assert results(tmp_path / "found.json")["overhead_ms_per_cube"] > 0


@pytest.mark.slow
def test_batch_workers(run, tmp_path) -> None:
    pytest.importorskip("distributed")
    run("batch_workers", "-n", 2, "--side", 3, "--json", tmp_path / "found.json", library=True)
    assert results(tmp_path / "found.json")["spectra"] == 18


def test_calibration(run, tmp_path) -> None:
    pytest.importorskip("tarp")
    said = run("calibration", "-n", 4, "--batch", 2, "--snr", 10, "--json", tmp_path / "found.json", library=True)
    assert "Coverage minus nominal" in said
    found = results(tmp_path / "found.json")["results"]
    assert set(found) == {"paper", "survey"}
    assert found["survey"]["10"]["wiener"]["coverage"]["levels"].keys() == {"50", "68", "90", "95"}
    pictures = {"found", "found_tarp", "found_chi2", "found_ranks_paper", "found_ranks_survey"}
    assert {path.stem for path in tmp_path.glob("*.png")} == pictures


def test_claims(run, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        run("claims", "-n", 20, "--json", tmp_path / "claims.json")
    found = results(tmp_path / "claims.json")["claims"]
    assert ended.value.code == 0, [one for one in found if not one["passed"]]
    assert capsys.readouterr().out.count("PASS ") == len(found) >= 12


def test_cube_prior(run, library_file, tmp_path) -> None:
    options = ("--size", 6, "--worlds", "core", "--periods", 2, "--stripe-snrs", 10, "--contenders", "spaxels")
    options = (*options, "--draw", "core")
    said = run("cube_prior", *options, "--outside", library_file, "--json", tmp_path / "found.json", library=True)
    assert "Transfer of [M/H]" in said
    found = results(tmp_path / "found.json")
    assert found["summary"]["spaxels"]["shape / spaxels"] == 1
    assert found["galaxies"].keys() == {"core", "shuffled", "particles"}
    assert {path.name for path in tmp_path.glob("*.png")} == {"found_core.png"}


@pytest.mark.fetched
def test_degrade_real_spectra(run, tmp_path) -> None:
    options = ("--least", 70, "--snr", 10, "--realisations", 1, "--json", tmp_path / "found.json")
    assert "MaNGA" in run("degrade_real_spectra", *options)
    record = results(tmp_path / "found.json")["spectra"][0]
    assert record["snr"] > 70
    assert record["scores"]["10"]["posterior"]["reduction"] > 0.5
    assert (tmp_path / "found.png").exists()


@pytest.mark.usefixtures("nothing_fetched")
def test_detection(run, tmp_path) -> None:
    options = ("-n", 5, "--calibration", 20, "--batch", 10, "--snr", 20, "--json", tmp_path / "found.json")
    said = run("detection", *options, library=True)
    assert "stars left out" in said
    assert "manga left out: run `quietspec fetch manga` first" in said
    kinds = {row["kind"]: row for row in results(tmp_path / "found.json")["results"]}
    assert {"galaxies", "wrong redshift", "quasars behind", "noise"} <= set(kinds)
    assert kinds["noise"]["reason_right"] is None or 0 <= kinds["noise"]["reason_right"] <= 1
    assert (tmp_path / "found.png").exists()


def test_apertures(run, tmp_path) -> None:
    options = ("--cubes", 2, "--compared", 1, "--size", 9, "--spaxels", 3, 9, "--apertures", 2, "--no-real")
    said = run("apertures", *options, "--json", tmp_path / "found.json", library=True)
    assert "sum of posteriors, errors added up" in said
    found = results(tmp_path / "found.json")
    assert len(found["correlations"]) == 2
    lines = [one for one in found["simulated"] if one["quantity"] == "Hbeta" and one["n_spaxels"] == 9]
    assert sorted(one["n"] for one in lines) == [2, 2, 4]


@pytest.mark.slow
@pytest.mark.fetched
def test_apertures_of_a_real_cube(run, tmp_path) -> None:
    options = ("--cubes", 1, "--size", 12, "--spaxels", 3, "--apertures", 2, "--draws", 1)
    run("apertures", *options, "--json", tmp_path / "found.json")
    real = results(tmp_path / "found.json")["real"]
    assert {one["quantity"] for one in real["added noise"]} >= {"band"}
    assert real["residuals"][0]["n"] > 1000


def test_galaxy_maps(run, tmp_path) -> None:
    options = ("--size", 4, "--methods", "posterior", "--store", tmp_path / "store", "--json", tmp_path / "found.json")
    run("galaxy_maps", *options, library=True)
    found = results(tmp_path / "found.json")["methods"]["posterior"]
    assert found["scores"]["log_age_lw"]["count"] + found["failed"] == 16
    assert {path.name for path in tmp_path.glob("*.png")} == {"found.png", "found_by_mass.png"}
    assert (tmp_path / "store" / "posterior.npz").exists()


@pytest.fixture(scope="module")
def rest_model(tmp_path_factory) -> Path:
    """A tiny prior of populations at rest, with its card."""
    path, prior = tmp_path_factory.mktemp("rest") / "rest.npz", rest_prior()
    prior.save(path)
    path.with_suffix(".json").write_text(json.dumps(prior.card))
    return path


@pytest.mark.fetched
def test_learn_calibration(run, rest_model, tmp_path) -> None:
    said = run(
        "learn_calibration", "--model", rest_model, "--teachers", "LEGA-C M19 56670", "--cycles", 1, "--out", tmp_path
    )
    assert "LEGA-C" in said
    entry = json.loads((tmp_path / "rest.json").read_text(encoding="utf-8"))["calibration"]
    assert entry["taught_by"]["LEGA-C"]["spectra"] == 1
    assert load_prior(tmp_path / "rest.npz").card["calibration"] == entry


def test_learn_calibration_from_another_model(run, rest_model, tmp_path) -> None:
    assert "SAMI" in run("learn_calibration", "--model", rest_model, "--like", "survey", "--out", tmp_path)
    card = load_prior(tmp_path / "rest.npz").card
    assert card["calibration"] == load_prior("survey").card["calibration"]


@pytest.mark.fetched
@pytest.mark.parametrize("what", ["blocks", "wrong-redshift", "telluric", "ppxf"])
def test_kinematic_checks(run, rest_model, what) -> None:
    if what == "ppxf":
        pytest.importorskip("ppxf")
    said = run("kinematics", what, "--prior", rest_model, "--realisations", 0, library=True)
    assert {"blocks": "SDSS", "wrong-redshift": "+600", "telluric": "O₂ B", "ppxf": "ngc3522"}[what] in said


@pytest.mark.fetched
def test_library_resolution(run) -> None:
    pytest.importorskip("ppxf")
    said = run("library_resolution", "miles")
    assert said.count("miles") == 3
    assert "2.51" in said


def test_make_demo_cube(run, tmp_path) -> None:
    run("make_demo_cube", "-o", tmp_path / "demo.fits", library=True)
    with fits.open(tmp_path / "demo.fits") as made:
        assert made["FLUX"].shape == made["TRUTH"].shape
        assert made["FLUX"].shape[1:] == (20, 20)


def test_network_cost(run) -> None:
    pytest.importorskip("torch")
    assert "eut-small" in run("network_cost", "eut-small")


@pytest.mark.slow
@pytest.mark.fetched
def test_observed_truth(run, tmp_path) -> None:
    run("observed_truth", "--step", 16, "--realisations", 1, "--json", tmp_path / "found.json")
    found = results(tmp_path / "found.json")
    ratios = {record["data"]: record["ratio"] for record in found["prediction"] if record["method"] == "posterior"}
    assert ratios["MUSE"] > 1
    assert {path.name for path in tmp_path.glob("*.png")} == {"found.png", "found_pulls.png"}


def test_paper_tables(run) -> None:
    said = run("paper_tables", FOLDER / "results" / "paper_figures.json")
    rows = [line for line in said.splitlines() if line.startswith("|")]
    assert len(rows) > 50
    shown = (FOLDER.parent / "docs/paper.md").read_text(encoding="utf-8").splitlines()
    assert sum(row in shown for row in rows) > len(rows) / 2


def test_line_fluxes(run, tmp_path) -> None:
    said = run("line_fluxes", "-n", 16, "--snr", 10, "--json", tmp_path / "found.json", library=True)
    assert "[OIII]5007" in said
    assert "behind a mask" in said
    lines = results(tmp_path / "found.json")["tables"][0]
    assert all(len(row) == len(lines["head"]) for row in lines["rows"])
    assert "[OIII]5007" in {cell for row in lines["rows"] for cell in row}


def test_line_components(run, tmp_path) -> None:
    said = run("line_components", "-n", 8, "--snr", 20, "--json", tmp_path / "found.json", library=True)
    assert "simulated: second" in said
    scores = results(tmp_path / "found.json")["scores"]
    assert {(entry["kind"], entry["fit"]) for entry in scores} == {
        (kind, fit) for kind in ("one", "second", "broad") for fit in ("one component", "by evidence")
    }
    assert all(entry["second"] == 0 for entry in scores if entry["fit"] == "one component")


def test_motions_apart(run, tmp_path) -> None:
    made = tmp_path / "found.json"
    said = run("line_components", "-n", 8, "--snr", 40, "--apart", 0, 200, "--json", made, library=True)
    assert "motions apart" in said
    scores = results(made)["scores"]
    shares = {(entry["offset"], entry["fit"]): entry["apart"] for entry in scores}
    assert shares[200, "one motion"] == shares[0, "one motion"] == 0
    assert shares[200, "by evidence"] > shares[0, "by evidence"]


@pytest.mark.slow
def test_line_contenders(run, tmp_path) -> None:
    pytest.importorskip("ppxf")
    options = ("-n", 8, "--snr", 20, "--bootstrapped", 1, "--draws", 2, "--store", tmp_path / "store")
    options = (*options, "--json", tmp_path / "found.json")
    assert "posterior over contender" in run("line_contenders", *options, library=True)
    scores = results(tmp_path / "found.json")["scores"]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*.npz")}
    run("line_contenders", *options, library=True)
    assert results(tmp_path / "found.json")["scores"] == scores
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # not measured again
    assert kept
    halpha = {row["contender"]: row for row in scores if row["line"] == "Halpha"}
    assert halpha.keys() == {"posterior", "subtract, then Gaussians", "pPXF, formal"}  # one bootstrap gives no score
    assert all(0.8 < row["slope"][0] < 1.2 for row in halpha.values())


def test_line_repeats(run, tmp_path) -> None:
    said = run("line_repeats", "--data", tmp_path, "--json", tmp_path / "found.json")
    assert "SAMI 56140_B left out" in said
    assert "UDF left out" in said
    assert results(tmp_path / "found.json")["udf"] == []


def test_other_worlds(run) -> None:
    assert "noise correlated by 0.6" in run("other_worlds", "false-alarms", "-n", 16, library=True)
    assert "broad Balmer lines 100" in run("other_worlds", "nuclei", "-n", 3, "--snr", 20, library=True)


@pytest.mark.slow
@pytest.mark.fetched
def test_other_worlds_of_other_libraries(run) -> None:
    said = run("other_worlds", "libraries", "bc03", "-n", 4, "--snr", 20)
    assert "BC03: share inside 1σ" in said


def test_population_calibration(run, tmp_path) -> None:
    options = ("-n", 4, "--batch", 2, "--snr", 10, "--json", tmp_path / "found.json")
    run("population_calibration", *options, library=True)
    found = results(tmp_path / "found.json")["recipes"]
    assert found["survey"]["10"]["log_age_lw"]["n"] == 4
    assert {path.name for path in tmp_path.glob("*.png")} == {"found_paper.png", "found_survey.png"}


@pytest.mark.slow
@pytest.mark.fetched
def test_real_populations(run, tmp_path) -> None:
    pytest.importorskip("ppxf")
    options = ("--bootstrap", 0, "--jobs", 1, "--maps", tmp_path / "maps.png", "--json", tmp_path / "found.json")
    run("real_populations", *options)
    found = results(tmp_path / "found.json")
    assert found["sami"] is None
    assert 9 < found["ngc3522"]["methods"]["posterior"]["log_age_lw"][0] < 10.3


def test_robustness(run, tmp_path) -> None:
    options = ("-n", 3, "--snr", 20, "--only", "masks", "arm gap", "--json", tmp_path / "found.json")
    assert "masks: fraction masked" in run("robustness", *options, library=True)
    (test,) = results(tmp_path / "found.json")["tests"]
    assert set(test["stresses"]) == {"masks", "arm gap"}
    assert (tmp_path / "found.png").exists()


def test_mutations(run, tmp_path) -> None:
    run("mutations", "--only", "dust: no scale", "--json", tmp_path / "found.json")  # reads and checks the whole list
    assert results(tmp_path / "found.json")["noticed"] == 1


def test_simulate_speed(run) -> None:
    said = run("simulate_speed", "-n", 20, "--chunk", 10, "--threads", 1, library=True)
    assert "survey, MUSE" in said


def test_tune_smoothers(run) -> None:
    assert run("tune_smoothers", "-n", 5, library=True).count("<- best") == 4


@pytest.mark.usefixtures("nothing_fetched")
def test_sky(run, tmp_path) -> None:
    options = ("--instruments", "SDSS", "--snr", 20, "-n", 5, "--json", tmp_path / "found.json")
    said = run("sky", *options, library=True)
    assert "simulated spectra" in said
    assert "manga left out: run `quietspec fetch manga` first" in said
    found = results(tmp_path / "found.json")
    kinds = {(one["world"], one["tool"]): one["inside_outside"] for one in found["simulated"]}
    assert kinds.keys() == {(world, tool) for world in ("clean", "sky") for tool in ("without", "with")}
    assert all(0.3 < share < 1 for share in kinds.values())
    assert found["predicted"] == found["rings"] == []


@pytest.mark.slow
@pytest.mark.fetched
def test_sky_of_real_spectra(run, tmp_path) -> None:
    options = ("--instruments", "MUSE", "--snr", 20, "-n", 5, "--step", 17, "--json", tmp_path / "found.json")
    run("sky", *options, library=True)
    found = results(tmp_path / "found.json")
    squares = {one["tool"]: one["bands"] for one in found["predicted"] if one["data"] == "A478, 10 x 10 spaxels"}
    assert squares["with"]["7730-8100"]["rms"] < 0.8 * squares["without"]["7730-8100"]["rms"]
    assert {one["tool"] for one in found["rings"]} == {"without", "with"}


@pytest.mark.slow
@pytest.mark.fetched
def test_ultraviolet(run, tmp_path) -> None:
    options = ("-n", 8, "--compared", 2, "--snr", 20, "--json", tmp_path / "found.json")
    assert "blocks predicted from the rest" in run("ultraviolet", *options)
    found = results(tmp_path / "found.json")
    assert found["own"][0]["pixels"]["removed"] > 0.6
    assert {record["chosen"] for record in found["choice"]} == {"survey", "ultraviolet"}
    assert [record["name"] for record in found["real"]] == ["LEGA-C M19 56670"] * 2
    assert (tmp_path / "found.png").exists()


def test_where_gain_comes_from(run, tmp_path) -> None:
    pytest.importorskip("ppxf")
    options = ("-n", 2, "--jobs", 1, "--regularisations", 10, "--json", tmp_path / "found.json")
    run("where_gain_comes_from", *options, library=True)
    rows = results(tmp_path / "found.json")["rows"]
    assert {row["histories"] for row in rows} == {"smooth", "mixtures"}
    assert all(np.isfinite(row["age_rms"]) for row in rows)


def test_result_hashes(run, tmp_path) -> None:
    run("result_hashes", "demo", "-n", 3, "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["demo.fits"]
    assert {"flux", "sigma", "covariance 0", "labels means"} <= set(found)


def test_view(run, tmp_path) -> None:
    run("view", "--side", 24, "--clicks", 3, "--json", tmp_path / "found.json")
    found = results(tmp_path / "found.json")
    assert found["side"] == 24
    assert found["answer_ms"]["median"] > 0
    assert found["server_peak_mb"] > 50
