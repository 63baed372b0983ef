import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mlproject import cli
from mlproject.analysis import Columns, assess_csv
from mlproject.analysis.csv_groups import read_groups
from mlproject.cli import app
from mlproject.errors import BadInput, WrongUse
from mlproject.report.csv_report import csv_json
from mlproject.report.renderers import finite, to_json

SOURCE = str(Path(__file__).parents[2] / "src")
SIZES = (100, 200, 400, 800, 1600, 3200)


def write(path: Path, header: str, rows: list[tuple[object, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


def curve(
    alpha: float, *, floor: float = 0.2, k: float = 8.0, noise: float = 0.01, seed: int = 0
) -> list[float]:
    off = np.random.default_rng(seed).normal(size=len(SIZES))
    return [float((floor + k * n**-alpha) * np.exp(noise * e)) for n, e in zip(SIZES, off, strict=True)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models: A falls with exponent 0.6 towards 0.2, B with 0.3 towards nothing."""
    rows = [("A", n, y) for n, y in zip(SIZES, curve(0.6, noise=0.004, seed=1), strict=True)]
    rows += [("B", n, y) for n, y in zip(SIZES, curve(0.3, floor=0.0, noise=0.004, seed=2), strict=True)]
    return write(tmp_path_factory.mktemp("points") / "two.csv", "model,images,loss", rows)


def ask(path: Path, **request: object) -> dict:
    columns = request.pop("columns", Columns(x=("images",), y="loss", group=("model",)))
    return finite(csv_json(assess_csv(path, columns, **request)))


@pytest.fixture(scope="module")
def content(two: Path) -> dict:
    """What is said of both models under all laws, with losses predicted at three sizes."""
    return ask(two, predict_at=write(two.with_name("at.csv"), "images", [(6400,), (32000,), (150,)]))


def test_a_file_becomes_laws_with_weights_and_a_prediction_for_every_row(content: dict) -> None:
    assert list(content) == ["version", "groups"]
    for group in content["groups"]:
        assert list(group) == [
            "group", "verdict", "reason", "flags", "n_points", "n_scales", "n_runs", "ceiling",
            "over_all_laws", "laws", "predictions",
        ]  # fmt: skip
        assert set(group["over_all_laws"]) == {"local", "floor"}
        assert group["verdict"] == "scaling"
        assert sum(law["weight"] for law in group["laws"]) == pytest.approx(1.0)
        for law in group["laws"]:
            assert list(law) == [
                "law", "weight", "verdict", "reason", "in_sample_rank", "out_of_sample_rank", "parameters",
            ]  # fmt: skip
            for estimate in law["parameters"].values():
                assert estimate["value"] is None or estimate["low"] <= estimate["value"] <= estimate["high"]
        assert [row["images"] for row in group["predictions"]] == [6400.0, 32000.0, 150.0]
        for row in group["predictions"]:
            assert list(row) == ["images", "mean", "low", "high", "new_run_low", "new_run_high", "horizon"]
            assert row["new_run_low"] <= row["low"] <= row["mean"] <= row["high"] <= row["new_run_high"]


def test_planted_laws_are_inside_their_intervals(content: dict) -> None:
    a, b = content["groups"]
    alphas = {law["law"]: law["parameters"]["alpha"] for law in a["laws"]}
    assert alphas["power_floor"]["low"] < 0.6 < alphas["power_floor"]["high"]
    for group, truth in ((a, lambda n: 0.2 + 8 * n**-0.6), (b, lambda n: 8 * n**-0.3)):
        for row in group["predictions"][:2]:
            assert row["low"] < truth(row["images"]) < row["high"]


def test_posterior_and_profile_agree_on_the_parameters_of_a_plain_law(two: Path) -> None:
    from mlproject.scaling import average, fit

    _, (group, _) = read_groups(two, Columns(x=("images",), y="loss", group=("model",)))
    sampled = average(group.x[:, 0], group.y).law_parameters("power_floor")
    fitted = fit(group.x[:, 0], group.y, law="power_floor").parameters
    for name, estimate in fitted.items():
        assert sampled[name].value == pytest.approx(estimate.value, rel=0.25)
        assert sampled[name].low < estimate.value < sampled[name].high


def test_a_row_that_states_its_group_is_predicted_by_that_group_alone(two: Path, tmp_path: Path) -> None:
    at = write(tmp_path / "at.csv", "model,images,loss", [("B", 6400, ""), ("A", 6400, ""), ("B", 9000, "")])
    a, b = ask(two, predict_at=at, laws=("power",))["groups"]
    assert [row["images"] for row in a["predictions"]] == [6400.0]
    assert [row["images"] for row in b["predictions"]] == [6400.0, 9000.0]


def test_several_group_columns_are_joined_by_commas_and_one_group_is_all(two: Path, tmp_path: Path) -> None:
    rows = [("t", "A", n, y) for n, y in zip(SIZES, curve(0.5), strict=True)]
    path = write(tmp_path / "p.csv", "task,model,images,loss", rows)
    named = Columns(x=("images",), y="loss", group=("task", "model"))
    assert ask(path, columns=named, laws=("power",))["groups"][0]["group"] == "t,A"
    plain = ask(path, columns=Columns(x=("images",), y="loss"), laws=("power",))["groups"][0]
    assert plain["group"] == "all"
    assert plain["predictions"] == []


def test_two_scales_give_a_joint_law(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grid = [(n, d) for n in (1e6, 4e6, 1.6e7, 6.4e7) for d in SIZES]
    rows = [(n, d, (0.3 + 20 * n**-0.3 + 5 * d**-0.4) * np.exp(0.005 * rng.normal())) for n, d in grid]
    path = write(tmp_path / "p.csv", "params,images,loss", rows)
    at = write(tmp_path / "at.csv", "images,params", [(12800, 2.5e8)])
    columns, laws = Columns(x=("params", "images"), y="loss"), ("separable", "product")
    (group,) = ask(path, columns=columns, predict_at=at, laws=laws)["groups"]
    (row,) = group["predictions"]
    assert (row["params"], row["images"]) == (2.5e8, 12800.0)
    assert row["low"] < 0.3 + 20 * 2.5e8**-0.3 + 5 * 12800**-0.4 < row["high"]
    separable = next(law for law in group["laws"] if law["law"] == "separable")
    assert set(separable["parameters"]) == {"alpha", "beta", "E", "A", "B"}


def test_known_noise_and_ceiling_are_used(tmp_path: Path) -> None:
    rows = [(n, y, 0.01 * y) for n, y in zip(SIZES, curve(0.5), strict=True)]
    path = write(tmp_path / "p.csv", "images,loss,sd", rows)
    (without,) = ask(path, columns=Columns(x=("images",), y="loss"))["groups"]
    (known,) = ask(path, columns=Columns(x=("images",), y="loss", sd="sd"), ceiling=math.log(10))["groups"]
    assert known["laws"] != without["laws"]
    m4 = next(law for law in known["laws"] if law["law"] == "m4")
    assert m4["parameters"]["L0"]["value"] == pytest.approx(math.log(10))


@pytest.mark.parametrize(
    ("losses", "verdict", "n_laws", "mean"),
    [
        ([2.0], "not identifiable", 0, None),
        ([2.0, 1.5], "not identifiable", 0, None),  # two scales determine no interval
        ([1.0, 1.001, 0.999, 1.0, 1.001, 0.9995], "flat", 3, pytest.approx(1.0, rel=0.01)),
    ],
)
def test_what_the_data_cannot_say_is_said_and_open_ends_are_null(
    tmp_path: Path, losses: list[float], verdict: str, n_laws: int, mean: object
) -> None:
    path = write(tmp_path / "p.csv", "images,loss", list(zip(SIZES, losses, strict=False)))
    at = write(tmp_path / "at.csv", "images", [(6400,)])
    content = ask(path, columns=Columns(x=("images",), y="loss"), predict_at=at)
    (group,) = content["groups"]
    assert group["verdict"] == verdict
    assert len(group["laws"]) >= n_laws
    assert bool(group["laws"]) == bool(n_laws)
    (row,) = group["predictions"]
    assert row["mean"] == mean
    assert (row["high"] is None) == (len(losses) < 3)
    assert json.loads(to_json(content)) == content


def test_a_larger_exponent_is_called_larger_with_an_interval(two: Path) -> None:
    compared = ask(two, compared=("A", "B"))["comparison"]
    (difference,) = compared["laws"][0]["differences"]
    assert compared["laws"][0]["law"] == "power_floor"
    assert difference["verdict"] == "first larger"
    assert 0 < difference["low"] < 0.3 < difference["high"]
    turned = ask(two, compared=("B", "A"), laws=("power_floor",))["comparison"]["laws"][0]["differences"][0]
    assert turned["value"] == pytest.approx(-difference["value"])
    assert turned["verdict"] == "second larger"


@pytest.mark.parametrize(
    ("header", "rows", "fault", "status"),
    [
        ("images,los", [(100, 1.0)], "unknown column 'loss'; did you mean los?", 2),
        ("images,loss", [(100, 1.0), (200, -0.5)], "row 3, column 'loss': '-0.5'", 3),
        ("images,loss", [(0, 1.0)], "row 2, column 'images': '0'", 3),
        ("images,loss", [(100, "")], "row 2, column 'loss': ''", 3),
        ("images,loss", [(100, "nan")], "row 2, column 'loss': 'nan'", 3),
        ("images,loss", [(100, 1.0, 2.0)], "row 2: 3 cells under a header of 2", 3),
        ("images,loss,loss", [(100, 1.0, 2.0)], "column 'loss' stands in the header twice", 3),
        ("images,loss", [], "a header and at least one row", 3),
    ],
)
def test_a_fault_names_file_row_and_column(
    tmp_path: Path, header: str, rows: list[tuple[object, ...]], fault: str, status: int
) -> None:
    path = write(tmp_path / "p.csv", header, rows)
    with pytest.raises((WrongUse, BadInput)) as found:
        read_groups(path, Columns(x=("images",), y="loss"))
    assert f"p.csv, {fault}" in str(found.value) or f"p.csv: {fault}" in str(found.value)
    assert found.value.status == status
    assert "\n" not in str(found.value)


def test_a_file_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    columns = Columns(x=("images",), y="loss")
    with pytest.raises(WrongUse, match="no file"):
        read_groups(tmp_path / "none.csv", columns)
    with pytest.raises(BadInput, match="cannot be read"):
        read_groups(tmp_path, columns)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(WrongUse, match=r"binary\.csv: unknown column 'images'"):
        read_groups(tmp_path / "binary.csv", columns)


def test_semicolons_a_byte_order_mark_and_blank_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("\ufeffimages;loss\r\n100;1.5\r\n\r\n200;1.25\r\n", "utf-8")
    _, (group,) = read_groups(path, Columns(x=("images",), y="loss"))
    assert group.x.tolist() == [[100.0], [200.0]]
    assert group.y.tolist() == [1.5, 1.25]


def test_a_prediction_asked_of_a_group_without_points_is_refused(two: Path, tmp_path: Path) -> None:
    at = write(tmp_path / "at.csv", "model,images", [("A", 6400), ("C", 6400)])
    with pytest.raises(BadInput, match=r"at.csv, row 3, column 'model': unknown group 'C'"):
        ask(two, predict_at=at)


def test_a_wrong_column_ends_with_one_line_and_status_two(
    two: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "raise_on_signals", lambda: None)  # the command line would keep its handlers
    monkeypatch.setattr(sys, "argv", ["mlproject", "fit", str(two), "--x", "image", "--y", "loss"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: two.csv: unknown column 'image'; did you mean images?\n"


def test_wrong_questions_are_refused_with_what_exists(two: Path) -> None:
    with pytest.raises(WrongUse, match="unknown group 'D'"):
        ask(two, compared=("A", "D"), laws=("power",))
    with pytest.raises(WrongUse, match="unknown law 'powr'; did you mean power"):
        ask(two, laws=("powr",))
    with pytest.raises(WrongUse, match="named twice"):
        Columns(x=("loss",), y="loss")


def test_the_verb_writes_json_and_shows_tables(two: Path, tmp_path: Path) -> None:
    at, out = write(tmp_path / "at.csv", "images", [(6400,)]), tmp_path / "out.json"
    words = ["fit", str(two), "--x", "images", "--y", "loss", "--group", "model", "--compare", "A", "B"]
    result = CliRunner().invoke(app, [*words, "--predict-at", str(at), "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert {group["group"] for group in json.loads(out.read_text())["groups"]} == {"A", "B"}
    for word in ("power_floor", "scaling", "Predictions", "The exponent α of A is larger"):
        assert word in " ".join(result.output.split())


def test_points_are_fitted_without_torch_and_mlflow(two: Path) -> None:
    code = (
        "import sys; from mlproject.cli import app; "
        f"app(['fit', {str(two)!r}, '--x', 'images', '--y', 'loss', '--laws', 'power,power_floor'], "
        "standalone_mode=False); "
        "print([name for name in ('torch', 'mlflow', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": SOURCE}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_broken_group_is_left_out_and_the_others_are_fitted(two: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(two.read_text() + "C,100,-1\nC,200,2\n")
    at, out = write(tmp_path / "at.csv", "images", [(6400,)]), tmp_path / "out.json"
    words = ["fit", str(path), "--x", "images", "--y", "loss", "--group", "model", "--predict-at", str(at)]
    found = CliRunner().invoke(app, [*words, "--laws", "power,power_floor", "--json", str(out)])
    assert found.exit_code == 1
    assert "1 of the groups left out" in str(found.exception)
    assert "row 14, column 'loss': '-1'" in str(found.exception)
    groups = json.loads(out.read_text())["groups"]
    assert [group["verdict"] for group in groups] == ["scaling", "scaling", "not identifiable"]
    assert groups[2]["laws"] == []
    assert groups[2]["predictions"] == [
        {
            "images": 6400.0,
            **dict.fromkeys(("mean", "low", "high", "new_run_low", "new_run_high", "horizon")),
        }
    ]


@pytest.mark.parametrize(("sizes", "verdict"), [((100, 200), "not identifiable"), (SIZES, "flat")])
def test_a_constant_loss_is_flat_where_scales_are_enough(
    tmp_path: Path, sizes: tuple[int, ...], verdict: str
) -> None:
    rows = [(n, 0.7 + 1e-4 * i) for i in (0, 1, 2) for n in sizes]
    (group,) = ask(write(tmp_path / "p.csv", "images,loss", rows), columns=Columns(x=("images",), y="loss"))[
        "groups"
    ]
    assert group["verdict"] == verdict


def test_a_rising_loss_is_predicted_to_rise(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", "images,loss", [(n, 0.3 * n**0.2) for n in SIZES])
    at = write(tmp_path / "at.csv", "images", [(12800,)])
    (group,) = ask(path, predict_at=at, columns=Columns(x=("images",), y="loss"))["groups"]
    assert group["laws"][0]["parameters"]["alpha"]["value"] == pytest.approx(-0.2)
    assert group["predictions"][0]["mean"] == pytest.approx(0.3 * 12800**0.2)


def runs_file(path: Path) -> Path:
    x = np.repeat(100.0 * 2.0 ** np.arange(8), 3)
    noise = 0.002 * np.random.default_rng(0).normal(size=24) + np.tile([0.0, 0.03, -0.03], 8)
    y = (0.2 + 8 * x**-0.5) * np.exp(noise)
    return write(
        path / "runs.csv", "images,run,loss", list(zip(x, np.tile(["a", "b", "c"], 8), y, strict=True))
    )


def test_a_column_of_runs_marks_rows_that_share_noise(tmp_path: Path) -> None:
    path = runs_file(tmp_path)
    apart, together = (
        ask(path, columns=Columns(x=("images",), y="loss", run=run), laws=("power_floor",))["groups"][0]
        for run in ("", "run")
    )
    assert (apart["n_runs"], together["n_runs"]) == (None, 3)
    widths = [group["laws"][0]["parameters"]["alpha"] for group in (apart, together)]
    assert widths[1]["high"] - widths[1]["low"] < 0.5 * (widths[0]["high"] - widths[0]["low"])


def test_a_run_may_be_a_scale_and_neither_a_loss_nor_empty(tmp_path: Path) -> None:
    path = runs_file(tmp_path)
    with pytest.raises(WrongUse, match="column 'loss' is named twice"):
        Columns(x=("images",), y="loss", run="loss")
    _, (group,) = read_groups(path, Columns(x=("images",), y="loss", run="images"))
    assert len(set(group.runs)) == 8
    empty = write(tmp_path / "empty.csv", "images,run,loss", [(100, "a", 1.0), (200, "", 0.5)])
    with pytest.raises(BadInput, match=r"empty.csv, row 3, column 'run': empty; write the name of the run"):
        read_groups(empty, Columns(x=("images",), y="loss", run="run"))
