"""A library as the prior of a CSV: by the names of its columns, and refused where these say nothing."""

from pathlib import Path

import pytest

from mlproject.analysis import Columns, assess_csv
from mlproject.errors import BadInput, WrongUse
from mlproject.report import csv_json
from mlproject.scaling import PriorChoice

VISION = PriorChoice(name="vision")


def table(folder: Path, y: str) -> Path:
    path = folder / "points.csv"
    path.write_text(f"images,{y}\n1000,0.5\n2500,0.41\n6250,0.34\n")
    return path


def test_three_rows_of_errors_have_an_answer_whose_json_names_the_prior(tmp_path: Path) -> None:
    columns = Columns(x=("images",), y="error")
    prior = csv_json(assess_csv(table(tmp_path, "error"), columns, prior=VISION))["groups"][0]["prior"]
    assert (prior["library"], prior["axis"], prior["loss"]) == ("vision", "images", "error")
    assert all(law["source"] for law in prior["nearest"])
    assert prior["local"]["variance_ratio"] < 1.0


def test_a_column_whose_kind_of_loss_is_not_known_is_refused(tmp_path: Path) -> None:
    columns = Columns(x=("images",), y="loss")
    with pytest.raises(BadInput, match="no loss along images; it has error along images"):
        assess_csv(table(tmp_path, "loss"), columns, prior=VISION)


@pytest.mark.parametrize(("axis", "loss"), [("parameters", ""), ("", "nats_per_token")])
def test_laws_of_another_axis_or_loss_than_the_columns_name_are_refused(tmp_path, axis, loss) -> None:
    columns, prior = Columns(x=("images",), y="error"), PriorChoice(name="vision", axis=axis, loss=loss)
    with pytest.raises(WrongUse, match=f"asks for laws of {axis or loss}, and column"):
        assess_csv(table(tmp_path, "error"), columns, prior=prior)
