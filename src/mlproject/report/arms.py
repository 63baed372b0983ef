"""Arms as tables and words: every arm beside its baseline, interactions, and differences of exponents.

Errors are told as accuracies, in percent, and their differences in points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlproject.analysis.effects import Effect
from mlproject.analysis.matrix import COLUMNS, Ablation, Interaction, Matrix, Row, Steeper, Versus
from mlproject.report.escape import markdown
from mlproject.report.rows import to_csv
from mlproject.report.words import FORMULAS, interval, number

SAID = (
    "Differences are arm less baseline on the same evaluation images and seeds, with 95 % intervals over "
    "images and seeds, one at a time; the verdict is after Holm's correction for all arms of a table. *Best "
    "on validation* is what chose the epoch and reads too well; *final* needs no choice; *evaluation* is the "
    "chosen epoch, judged once."
)


def arm_tables(ablation: Ablation) -> dict[str, bytes]:
    """The tables of an ablation as CSV, by file name; nothing without arms."""
    found = {
        "ablations.csv": [_matrix_row(m, row) for m in ablation.matrices for row in m.rows],
        "interactions.csv": [_interaction_row(one) for one in ablation.interactions],
        "exponent_differences.csv": [_steeper_row(one) for one in ablation.exponents],
    }
    return {name: to_csv(rows) for name, rows in found.items() if rows}


def arms_md(ablation: Ablation) -> list[str]:
    """The sections of a summary; none without arms."""
    if not ablation.matrices:
        return []
    parts = [f"## Arms\n\n{SAID}", *(_matrix_md(matrix) for matrix in ablation.matrices)]
    return [*parts, *_interactions_md(ablation.interactions), *_exponents_md(ablation.exponents)]


def loss_difference(versus: Versus) -> str:
    """``-0.041 [-0.1, 0.018]``."""
    found = versus.effect
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def points(versus: Versus) -> str:
    """A difference of accuracies in points: ``+1.2 [-0.8, +3.2]``."""
    found = versus.effect
    value, low, high = (-100 * x + 0.0 for x in (found.value, found.high, found.low))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def accuracy(error: Effect) -> str:
    """An accuracy in percent: ``81.2 [79, 83.4]``."""
    return f"{100 * (1 - error.value):.1f} [{100 * (1 - error.high):.1f}, {100 * (1 - error.low):.1f}]"


def _matrix_md(matrix: Matrix) -> str:
    kind = str(matrix.setting["kind"]).replace("_", " ")
    head = ["arm", "seeds", *(f"{kind}, {name}" for name in HEADINGS), "accuracy, evaluation [%]"]
    head += [
        "difference of loss [95 %]",
        "p, Holm",
        "of accuracy [points]",
        "wrong alone (McNemar p)",
        "loss",
    ]
    lines = [head, ["---"] * len(head), *(_cells(row) for row in matrix.rows)]
    return f"### {markdown(matrix.label)}\n\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


HEADINGS = ("best on validation", "final", "evaluation")


def _cells(row: Row) -> list[str]:
    cells = [markdown(row.arm), str(row.n_seeds)]
    cells += [_mean(row.loss[name]) if name in row.loss else "–" for name in COLUMNS]
    cells.append(accuracy(row.error["eval"]) if "eval" in row.error else "–")
    if row.versus_loss is None:
        return cells + ["–"] * 5
    cells += [loss_difference(row.versus_loss), number(row.versus_loss.holm)]
    cells.append(points(row.versus_error) if row.versus_error else "–")
    found = row.mcnemar
    cells.append(f"{found.first_only} : {found.second_only} ({number(found.p)})" if found else "–")
    return [*cells, row.versus_loss.verdict]


def _mean(found: Effect) -> str:
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def _interactions_md(found: Sequence[Interaction]) -> Iterator[str]:
    if not found:
        return
    head = ["arm", "axis", "held", "difference of loss at each scale", "change by doubling [95 %]", "p, Holm"]
    lines = [head, ["---"] * len(head)]
    for one in found:
        steps = "; ".join(
            f"{x:,.6g}: {step.value:+.3f} [{step.low:+.3f}, {step.high:+.3f}]"
            for x, step in zip(one.scales, one.steps, strict=True)
        )
        cells = [markdown(one.arm), one.axis, markdown(one.series), steps, loss_difference(one.loss)]
        lines.append([*cells, number(one.loss.holm)])
    said = "How the difference between an arm and its baseline changes for each doubling along an axis."
    rows = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    yield f"### Interactions\n\n{said}\n\n{rows}"


def _exponents_md(found: Sequence[Steeper]) -> Iterator[str]:
    if not found:
        return
    head = ["arm", "axis", "held", "law", "α", "α of the baseline", "difference [95 %]", "verdict"]
    lines = [head, ["---"] * len(head)]
    for one in found:
        told = one.difference.verdict.replace("first", "arm").replace("second", "baseline")
        doubt = "" if one.identified else " (a law of the two is not identifiable)"
        numbers = [interval(e) for e in (one.own, one.baseline, one.difference.difference)]
        lines.append(
            [markdown(one.arm), one.axis, markdown(one.series), FORMULAS[one.law], *numbers, told + doubt]
        )
    rows = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    yield f"### Exponents of arms\n\nPositive differences: the arm's loss falls faster.\n\n{rows}"


def _matrix_row(matrix: Matrix, row: Row) -> Mapping[str, object]:
    setting = matrix.setting
    told: dict[str, object] = {"group": matrix.label, "dataset_size": setting["dataset_size"]}
    told |= {"loss": setting["kind"], "arm": row.arm, "n_seeds": row.n_seeds, "params": row.n_params}
    for name, heading in zip(COLUMNS, HEADINGS, strict=True):
        column = heading.replace(" ", "_")
        told |= _effect(f"loss_{column}", row.loss.get(name))
        told |= _effect(f"error_{column}", row.error.get(name))
    for quantity, versus in (("loss", row.versus_loss), ("error", row.versus_error)):
        told |= _versus(f"{quantity}_difference", versus)
    found = row.mcnemar
    told |= {"only_arm_wrong": found.first_only if found else None}
    told |= {"only_baseline_wrong": found.second_only if found else None}
    return told | {"mcnemar_p": found.p if found else None}


def _interaction_row(one: Interaction) -> Mapping[str, object]:
    told: dict[str, object] = {"arm": one.arm, "axis": one.axis, "held": one.series}
    told |= {"scales": " ".join(f"{x:.6g}" for x in one.scales)}
    return (
        told | _versus("loss_change_by_doubling", one.loss) | _versus("error_change_by_doubling", one.error)
    )


def _steeper_row(one: Steeper) -> Mapping[str, object]:
    told: dict[str, object] = {"arm": one.arm, "axis": one.axis, "held": one.series, "law": one.law}
    estimates = {"alpha": one.own, "alpha_baseline": one.baseline, "difference": one.difference.difference}
    for name, e in estimates.items():
        told |= {name: e.value, f"{name}_low": e.low, f"{name}_high": e.high}
    return told | {"verdict": one.difference.verdict, "identified": one.identified}


def _effect(name: str, found: Effect | None) -> dict[str, object]:
    values = (None,) * 3 if found is None else (found.value, found.low, found.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def _versus(name: str, found: Versus | None) -> dict[str, object]:
    told = _effect(name, found.effect if found else None)
    told |= {f"{name}_p": found.effect.p if found else None, f"{name}_p_holm": found.holm if found else None}
    return told | {f"{name}_verdict": found.verdict if found else None}
