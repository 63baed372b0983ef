"""A CSV of points as a study: laws that hold for every file, and the comparison of two groups."""

import csv
import math

import numpy as np
import pytest

from mlproject.analysis import Columns, assess_csv
from mlproject.errors import BadInput, WrongUse
from mlproject.report import csv_document, csv_json, render_markdown, terminal_text, to_json

SIZES = np.array([100, 200, 400, 800, 1600, 3200, 6400])
COLUMNS = Columns(x=("images",), y="loss", group=("model",))


def write(path, rows, header=("model", "images", "loss")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def rows_of(name, *, alpha=0.5, noise=0.01, seed=1, x_unit=1.0, y_unit=1.0):
    error = np.exp(noise * np.random.default_rng(seed).normal(size=len(SIZES)))
    losses = 8.0 * SIZES**-alpha * error
    return [
        (name, repr(n * x_unit), repr(y * y_unit))
        for n, y in zip(SIZES.tolist(), losses.tolist(), strict=True)
    ]


LAWS = ("power",)
"""Fewer laws than by default, so that a test takes a fraction of a second."""


def assessment(path, rows):
    (group,) = assess_csv(write(path, rows), COLUMNS, laws=LAWS).groups
    return group.assessment


def test_units_of_scale_and_loss_do_not_matter(tmp_path):
    first = assessment(tmp_path / "a.csv", rows_of("A"))
    second = assessment(tmp_path / "b.csv", rows_of("A", x_unit=1e-3, y_unit=1e3))
    assert second.verdict == first.verdict == "scaling"
    assert second.weights == pytest.approx(first.weights, rel=1e-6)
    for name, estimate in first.exponents.items():
        other = second.exponents[name]
        assert (other.value, other.low, other.high) == pytest.approx(
            (estimate.value, estimate.low, estimate.high), rel=1e-6
        )
    losses, other_losses = first.predict([12800.0]), second.predict([12.8])
    assert other_losses.mean == pytest.approx(1e3 * losses.mean, rel=1e-6)
    assert other_losses.horizon == pytest.approx(losses.horizon)


def test_reasons_name_the_columns_of_the_file(tmp_path):
    found = assessment(tmp_path / "points.csv", rows_of("a")[:2])
    assert "the range of images is a factor of 2, under a decade" in found.reason


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    rows = rows_of("A")
    first = assessment(tmp_path / "a.csv", rows)
    second = assessment(tmp_path / "b.csv", [rows[i] for i in (3, 0, 6, 2, 5, 1, 4)])
    assert second.weights == pytest.approx(first.weights, rel=1e-9)
    assert second.exponents["alpha"].low == pytest.approx(first.exponents["alpha"].low, rel=1e-9)


def test_groups_do_not_influence_each_other(tmp_path):
    alone = assessment(tmp_path / "a.csv", rows_of("A"))
    pair = [*rows_of("B", alpha=0.2, seed=2), *rows_of("A")]
    together = assess_csv(write(tmp_path / "b.csv", pair), COLUMNS, laws=LAWS)
    assert [group.name for group in together.groups] == ["B", "A"]
    assert together.groups[1].assessment.exponents == alone.exponents


def test_more_noise_gives_wider_intervals(tmp_path):
    widths = [
        assessment(tmp_path / f"{noise}.csv", rows_of("A", noise=noise))
        .law("power")
        .fit.parameters["alpha"]
        .width
        for noise in (0.002, 0.01, 0.05)
    ]
    assert widths == sorted(widths)
    assert widths[2] / widths[0] == pytest.approx(25.0, rel=0.05)


def test_a_stated_noise_that_grows_gives_wider_intervals(tmp_path):
    columns = Columns(x=("images",), y="loss", sd="sd", group=("model",))
    widths = []
    for share in (0.02, 0.04):
        rows = [(*row, repr(share * float(row[2]))) for row in rows_of("A", noise=0.005)]
        path = write(tmp_path / f"{share}.csv", rows, ("model", "images", "loss", "sd"))
        (group,) = assess_csv(path, columns, laws=LAWS).groups
        widths.append(group.assessment.law("power").fit.parameters["alpha"].width)
    assert widths[1] / widths[0] == pytest.approx(2.0, rel=0.02)


def test_the_exponent_is_the_slope_of_ordinary_least_squares_with_its_t_interval(tmp_path):
    from scipy.stats import linregress, t

    rows = rows_of("A", noise=0.02)
    alpha = assessment(tmp_path / "a.csv", rows).law("power").fit.parameters["alpha"]
    line = linregress(np.log(SIZES), np.log([float(row[2]) for row in rows]))
    half = t.ppf(0.975, len(SIZES) - 2) * line.stderr
    assert alpha.value == pytest.approx(-line.slope, rel=1e-9)
    assert (alpha.low, alpha.high) == pytest.approx((-line.slope - half, -line.slope + half), rel=1e-3)


def test_the_difference_over_all_laws_has_the_limits_of_zou_and_donner(tmp_path):
    path = write(tmp_path / "a.csv", [*rows_of("A", alpha=0.6), *rows_of("B", alpha=0.3, seed=2)])
    study = assess_csv(path, COLUMNS, laws=LAWS, compared=("A", "B"))
    a, b = (group.assessment.exponents["alpha"] for group in study.groups)
    (difference,) = study.comparison.over_all_laws
    low = a.value - b.value - math.sqrt((a.value - a.low) ** 2 + (b.high - b.value) ** 2)
    high = a.value - b.value + math.sqrt((a.high - a.value) ** 2 + (b.value - b.low) ** 2)
    estimate = difference.difference
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((a.value - b.value, low, high))
    assert difference.verdict == "first larger"


def test_a_group_is_not_larger_than_itself(tmp_path):
    path = write(tmp_path / "a.csv", rows_of("A"))
    study = assess_csv(path, COLUMNS, laws=LAWS, compared=("A", "A"))
    differences = [d for *_, by_law in study.comparison.by_law for d in by_law] + list(
        study.comparison.over_all_laws
    )
    assert {d.verdict for d in differences} == {"no difference seen"}
    assert [d.difference.value for d in differences] == [0.0] * len(differences)


def test_a_misspelt_group_names_the_near_match(tmp_path):
    path = write(tmp_path / "a.csv", [*rows_of("resnet50"), *rows_of("vit", seed=2)])
    with pytest.raises(WrongUse) as caught:
        assess_csv(path, COLUMNS, laws=LAWS, compared=("resnet5", "vit"))
    assert str(caught.value) == "unknown group 'resnet5'; did you mean resnet50?"


def test_groups_without_a_common_law_are_not_compared(tmp_path):
    path = write(tmp_path / "a.csv", [*rows_of("A"), ("B", 100, 1.0), ("B", 200, 0.9)])
    with pytest.raises(BadInput) as caught:
        assess_csv(path, COLUMNS, compared=("A", "B"))
    assert str(caught.value) == "A and B cannot be compared: no law was fitted to both"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": ()}, "laws have one to three scales: give --x so often, not 0 times"),
        ({"x": ("a", "b", "c", "d")}, "laws have one to three scales: give --x so often, not 4 times"),
        ({"y": "images"}, "column 'images' is named twice"),
        ({"sd": "loss"}, "column 'loss' is named twice"),
        ({"group": ("model", "model")}, "column 'model' is named twice"),
    ],
)
def test_columns_that_cannot_be_are_refused(changes, message):
    with pytest.raises(WrongUse) as caught:
        Columns(**({"x": ("images",), "y": "loss"} | changes))
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["a\x0cb", "a\x85b", "a\u2028b", "a\x1db", 'quo"te', "a;b", "[/x]", "=1"])
def test_a_group_of_any_name_is_one_group_and_is_shown(tmp_path, name):
    study = assess_csv(write(tmp_path / "a.csv", rows_of(name)[:2]), COLUMNS, laws=LAWS)
    assert [group.name for group in study.groups] == [name.strip()]
    document = csv_document(study)
    assert "not identifiable" in terminal_text(document)
    assert "not identifiable" in render_markdown(document)
    assert csv_json(study)["groups"][0]["group"] == name.strip()
    assert to_json(csv_json(study))


def test_a_column_of_any_name_is_shown(tmp_path):
    path = write(tmp_path / "a.csv", rows_of("A"), ("[/model]", "[red]images", "[/loss]"))
    at = write(tmp_path / "at.csv", [(12800,)], ("[red]images",))
    columns = Columns(x=("[red]images",), y="[/loss]", group=("[/model]",))
    text = terminal_text(csv_document(assess_csv(path, columns, laws=LAWS, predict_at=at)))
    assert "[/loss] against [red]images" in text


def test_a_row_in_the_middle_that_breaks_is_named_by_its_row_of_the_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("images,loss\n100,1\n\n200,oops\n", encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        assess_csv(path, Columns(x=("images",), y="loss"))
    where = "a.csv, row 4, column 'loss'"
    assert str(caught.value) == f"{where}: 'oops' is not a number above zero (the header is row 1)"


def test_a_law_that_does_not_exist_or_is_of_other_axes_is_refused(tmp_path):
    path = write(tmp_path / "a.csv", rows_of("A"))
    with pytest.raises(WrongUse, match=r"^unknown law 'powr'; did you mean power"):
        assess_csv(path, COLUMNS, laws=("powr",))
    with pytest.raises(BadInput, match=r"^law 'separable' has 2 axes and x has 1$"):
        assess_csv(path, COLUMNS, laws=("separable",))


ACCURACIES = (0.42, 0.58, 0.70, 0.785, 0.846, 0.89, 0.921)
LIMITS = ("mean", "low", "high", "new_run_low", "new_run_high")


def accuracies(tmp_path, *, unit=1.0, name="score", values=ACCURACIES, header=None):
    rows = [(n, y * unit) for n, y in zip(SIZES, values, strict=True)]
    return write(tmp_path / "p.csv", rows, ("images", name))


def predicted(tmp_path, path, columns):
    at = write(tmp_path / "at.csv", [(60,), (12800,), (10**9,)], ("images",))
    study = assess_csv(path, columns, laws=("power", "power_floor"), predict_at=at)
    return study, study.groups[0].predictions


@pytest.mark.parametrize(("unit", "bound"), [(1.0, 1), (100.0, 100)])
def test_a_rising_column_within_0_and_1_or_100_is_asked_about_and_its_predictions_stay_there(
    tmp_path, unit, bound
):
    path = accuracies(tmp_path, unit=unit)
    study, predictions = predicted(tmp_path, path, Columns(x=("images",), y="score"))
    question, *_ = csv_document(study).answer.sentences
    assert question.startswith(
        f"Is score an accuracy? It lies within 0 and {bound}. With --accuracy laws are"
    )
    assert question in csv_json(study)["question"]
    for name in LIMITS:
        assert ((getattr(predictions, name) >= 0) & (getattr(predictions, name) <= bound)).all()
    assert (predictions.low <= predictions.mean).all()
    assert (predictions.mean <= predictions.high).all()
    assert (predictions.high > predictions.low).all()  # no interval is cut to a point


def test_where_laws_of_errors_exceed_the_bound_altogether_nothing_is_predicted(tmp_path):
    columns = Columns(x=("images",), y="score", accuracy=True)
    at = write(tmp_path / "at.csv", [(1e-3,), (800,)], ("images",))
    study = assess_csv(accuracies(tmp_path), columns, laws=("power",), predict_at=at)
    first, second = csv_json(study)["groups"][0]["predictions"]
    assert {first[name] for name in LIMITS} == {None}
    assert None not in second.values()
    assert "–" in terminal_text(csv_document(study))


def test_declared_accuracies_are_fitted_as_errors_and_predicted_as_accuracies(tmp_path):
    columns = Columns(x=("images",), y="score", accuracy=True)
    study, predictions = predicted(tmp_path, accuracies(tmp_path), columns)
    errors = write(
        tmp_path / "e.csv", [(n, 1 - y) for n, y in zip(SIZES, ACCURACIES, strict=True)], ("images", "e")
    )
    as_errors, error_predictions = predicted(tmp_path, errors, Columns(x=("images",), y="e"))
    assert study.groups[0].assessment.exponents == as_errors.groups[0].assessment.exponents
    np.testing.assert_allclose(predictions.mean, np.maximum(1 - error_predictions.mean, 0))
    np.testing.assert_allclose(predictions.low, np.maximum(1 - error_predictions.high, 0))
    assert csv_json(study)["laws_of"] == "1 - score"
    assert "question" not in csv_json(study)
    assert "1 - score against images" in csv_document(study).title


def test_a_column_that_is_said_to_be_a_loss_is_not_asked_about_and_not_bounded(tmp_path):
    columns = Columns(x=("images",), y="score", accuracy=False)
    study, predictions = predicted(tmp_path, accuracies(tmp_path), columns)
    assert "question" not in csv_json(study)
    assert predictions.mean[2] > 1


@pytest.mark.parametrize(
    ("name", "values", "asked"),
    [
        ("loss", tuple(8 * SIZES**-0.5), False),
        ("loss", (0.9, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2), False),  # an error rate falls
        ("loss", (2.1, 2.3, 2.5, 2.8, 3.0, 3.3, 3.5), False),  # a loss in nats may rise
        ("loss", (0.7, 0.72, 0.69, 0.71, 0.7, 0.69, 0.71), False),
        ("val_acc", (0.7, 0.72, 0.69, 0.71, 0.7, 0.69, 0.71), True),
        ("top-1 (%)", (2.1, 2.3, 2.5, 2.8, 3.0, 3.3, 3.5), True),
        ("accuracy", (0.7, 0.72, 0.69, 0.71, 0.7, 0.69, 1.71), True),
        ("vaccines", (2.1, 2.3, 2.5, 2.8, 3.0, 3.3, 3.5), False),
    ],
)
def test_only_a_column_that_looks_like_accuracies_is_asked_about(tmp_path, name, values, asked):
    study = assess_csv(
        accuracies(tmp_path, name=name, values=values), Columns(x=("images",), y=name), laws=("power",)
    )
    assert ("question" in csv_json(study)) == asked


def test_an_accuracy_of_the_bound_or_beyond_it_is_refused_by_row(tmp_path):
    columns = Columns(x=("images",), y="score", accuracy=True)
    with pytest.raises(
        BadInput, match=r"p.csv, row 8, column 'score': an accuracy of 1 leaves no error to fit"
    ):
        assess_csv(accuracies(tmp_path, values=(*ACCURACIES[:-1], 1.0)), columns)
    with pytest.raises(
        BadInput, match=r"p.csv, row 4, column 'score': 120 is no accuracy, which lies within"
    ):
        assess_csv(accuracies(tmp_path, values=(10, 20, 120, 30, 40, 50, 60)), columns)


def test_an_accuracy_of_zero_is_an_error_of_one(tmp_path):
    columns = Columns(x=("images",), y="score", accuracy=True)
    (group,) = assess_csv(accuracies(tmp_path, values=(0, *ACCURACIES[1:])), columns, laws=("power",)).groups
    assert not group.group.fault


def test_a_value_that_is_not_identified_is_null_in_the_json(tmp_path):
    noise = np.exp(0.4 * np.random.default_rng(2).normal(size=len(SIZES)))
    path = write(tmp_path / "p.csv", list(zip(SIZES, noise, strict=True)), ("images", "loss"))
    study = assess_csv(path, Columns(x=("images",), y="loss"), laws=("power", "power_floor"))
    (group,) = study.groups
    unknown = 0
    for law, shown in zip(group.laws, csv_json(study)["groups"][0]["laws"], strict=True):
        for name, estimate in law.parameters.items():
            unknown += not estimate.identified
            assert shown["parameters"][name]["value"] == (estimate.value if estimate.identified else None)
            assert shown["parameters"][name]["low"] == estimate.low
    assert unknown
