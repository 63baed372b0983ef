"""The columns of every table that is written: unit and definition, in one place.

The page of the reference and ``columns.csv`` of a paper are made from this. A definition holds for a column
of that name in every table, unless the table has its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mlproject.analysis import AXES
from mlproject.losses import LOSS_KINDS
from mlproject.report.mistakes_columns import MISTAKES, MISTAKES_TABLES
from mlproject.report.multiverse_columns import MULTIVERSE, MULTIVERSE_TABLES
from mlproject.report.predictions_section import SEALED_TABLES
from mlproject.report.prior_columns import KNOWN_STUDIES

Definition = tuple[str, str]
"""Unit (empty for none) and meaning."""
LOSS, SHARE, PARAMETERS, IMAGES = "loss", "share", "parameters", "images"
COLUMNS: dict[str, Definition] = {
    "group": ("", "The curve or grid: what its axis holds fixed, data, recipe, loss, protocol"),
    "axis": ("", f"What the scale is: {', '.join(axis.name for axis in AXES.values())}"),
    "statistic": ("", "Mean or median of the per-image losses"),
    "law": ("", "Name of the law: power is k x^-α, power_floor is E + k x^-α"),
    "verdict": ("", "scaling, flat or not identifiable; of a comparison, which is better"),
    "reason": ("", "Why the verdict is what it is"),
    "alpha": ("", "Exponent α; on a grid that of the model size N. No value where it is not identified"),
    "beta": ("", "Exponent β of the training images D. No value where it is not identified"),
    "round": ("", "Round of cells that were chosen together"),
    "n_cells": ("cells", "Cells up to the end of the round"),
    "width": ("ratio", "Upper over lower limit of the 95 % interval at the target, minus 1"),
    "k": ("loss × unit^α", "Amplitude of the law"),
    "E": (LOSS, "Irreducible loss, the floor"),
    "held_out_error": ("ln ratio", "ln(predicted / observed) at the largest scale, fitted without it"),
    "dof": ("", "Degrees of freedom: points minus parameters"),
    "n_scales": ("", "Distinct scales"),
    "x": ("axis", "Scale, in the unit of the axis"),
    "x_min": ("axis", "Smallest scale"),
    "x_max": ("axis", "Largest scale"),
    "n_seeds": ("runs", "Seeds of each scale, or of the arm"),
    "n_images": (IMAGES, "Evaluated images; of a correlation, those that both scales evaluated"),
    "split": ("", "eval: held-out images; train or in-sample: the training images themselves"),
    "weights": ("", "Kind of the weights that the backbone carries, or their label"),
    "target": ("", "What a probe predicts"),
    "loss": (LOSS, "The loss: its value, or in tables of fits its kind"),
    "estimator": ("", "How the law was estimated"),
    "horizon": ("ratio", "Scale of the prediction over the largest measured scale"),
    "mean": (LOSS, "Mean loss; of a prediction, the mean over runs"),
    "low": (LOSS, "Lower limit of the 95 % interval"),
    "high": (LOSS, "Upper limit of the 95 % interval"),
    "new_run_low": (LOSS, "Lower 95 % limit of one new run"),
    "new_run_high": (LOSS, "Upper 95 % limit of one new run"),
    "heaviest_law": ("", "The law of the largest weight"),
    "weight": (SHARE, "Weight of the law in the average, after its predictions were compared"),
    "prior": (SHARE, "Weight of the law before"),
    "rank_in_sample": ("", "Rank by residuals inside the data; 1 is the best"),
    "rank_out_of_sample": ("", "Rank by predictions of the next larger scale; 1 is the best"),
    "score": ("nats", "Log predictive density, summed over the cuts"),
    "N": (PARAMETERS, "Model size"),
    "D": (IMAGES, "Training images"),
    "N_max": (PARAMETERS, "Largest model"),
    "D_max": (IMAGES, "Largest number of training images"),
    "model": ("", "Name of the model"),
    "compute": ("FLOP", "Logged compute, or the budget; parameters × images where none was logged"),
    "held_out_mean": (LOSS, "Prediction of the cell from cheaper ones"),
    "held_out_low": (LOSS, "Lower limit of that prediction"),
    "held_out_high": (LOSS, "Upper limit of that prediction"),
    "method": ("", "How the best split of a budget was found"),
    "way": ("", "How a budget is split; of image scales, what grows: the model or the image"),
    "unit": ("", "Unit of the compute"),
    "beyond": ("", "Whether the split lies outside the measured range"),
    "budgets": ("", "Budgets behind the exponents"),
    "N_exponent": ("", "Exponent of the best model size against compute"),
    "D_exponent": ("", "Exponent of the best number of images against compute"),
    "trained": ("", "Whether this kind of loss was minimised"),
    "mean_first": (LOSS, "Mean at the smallest scale"),
    "mean_last": (LOSS, "Mean at the largest scale"),
    "spread_first": ("ratio", "Standard deviation over images by the mean, at the smallest scale"),
    "spread_last": ("ratio", "Standard deviation over images by the mean, at the largest scale"),
    "agreement": ("", "Spearman's correlation with the trained loss over images, at the largest scale"),
    "first": ("", "The first of two scales or regions"),
    "second": ("", "The second of two scales or regions"),
    "difference": ("", "The first minus the second; in the ledger, what changed from the parent"),
    "paired": ("", "Whether both share their images"),
    "identified": ("", "Whether the data identify both exponents"),
    "scale": ("", "Name of the scale; in the table of regions, the largest that both have"),
    "loss_ratio": ("ratio", "Loss of the first over loss of the second at that scale"),
    "image_name": ("", "Name of the image, unique in its data set"),
    "pearson": ("", "Pearson's correlation of per-image losses"),
    "spearman": ("", "Spearman's correlation of per-image losses"),
    "sd": (LOSS, "Standard deviation: over images, or the noise that a point does not share"),
    "min": (LOSS, "Smallest per-image loss"),
    "max": (LOSS, "Largest per-image loss"),
    "exponent": ("", "Slope of ln loss over ln scale, with its sign changed"),
    "standard_error": ("", "Standard error of the exponent"),
    "shrunk": ("", "Exponent shrunk towards the mean over images"),
    "q_value": ("", "False-discovery rate at which the exponent differs from zero"),
    "scales": ("", "Whether the loss falls at a false-discovery rate of 5 %; of interactions, the scales"),
    "rises": ("", "Whether the loss rises at a false-discovery rate of 5 %"),
    "dataset_size": (IMAGES, "Training images"),
    "arm": ("", "What the arm changes; baseline for none"),
    "held": ("", "What is fixed along the axis"),
    "params": (PARAMETERS, "Parameters of backbone and head"),
    "interval_over": ("", "What the interval is over: images, or images and seeds"),
    "only_arm_wrong": (IMAGES, "Images that only the arm has wrong, over all seeds"),
    "only_baseline_wrong": (IMAGES, "Images that only the baseline has wrong, over all seeds"),
    "mcnemar_p": ("", "p-value of McNemar's test"),
    "alpha_baseline": ("", "Exponent of the baseline"),
    "image_scales": ("× side", "Multiples of the model's input side at which an image is seen"),
    "gmac": ("GMAC", "Cost of one image: multiply-accumulates, in 10^9"),
    "gain": ("ratio", "Relative change of the loss since the curve's first point"),
    "crossover_gmac": ("GMAC", "Cost at which both ways have one loss, or none in range"),
    "share_of_draws": (SHARE, "Bootstrap draws that agree"),
    "ahead": ("", "The better way at the largest shared cost"),
    "gap": ("ratio", "By how much, relative to the loss of the other"),
    "from_gmac": ("GMAC", "Beginning of the shared range"),
    "to_gmac": ("GMAC", "End of the shared range"),
    "cell": ("", "Key of the cell: a hash of everything that changes its result"),
    "losses_digest": ("", "SHA-256 of the run's per-image losses"),
    "run_id": ("", "Id of the tracked run"),
    "run": ("", "Id of the tracked run"),
    "recipe": ("", "What was trained"),
    "data": ("", "Data set, as the plan named it"),
    "seed": ("", "Seed of the draw of images, of initial values and of batches"),
    "region": ("", "The part of each image that is visible"),
    "accuracy": ("%", "Evaluated images whose class is right"),
    "points": ("percentage points", "Accuracy of the arm minus that of the baseline"),
    "what": ("", "What a row of a figure's data is: a measured point, a law, a band, a prediction"),
    "value": ("", "The number that is drawn"),
    "epoch": ("", "Epoch of training"),
    "step": ("steps", "Steps of the optimiser since the beginning"),
    "lr": ("", "Learning rate of the last step"),
    "samples": (IMAGES, "Images shown in training, repeats included"),
    "seconds": ("s", "Wall time of training"),
}
COLUMNS |= MISTAKES | MULTIVERSE | KNOWN_STUDIES
"""Definitions by column name."""
TABLES: dict[str, dict[str, Definition]] = {
    "spending": {
        "images": (IMAGES, "Training images up to the end of the round"),
        "seconds": ("s", "Logged seconds of the cells up to the end of the round"),
    },
    "images": {
        "image": ("", "Name of the image, unique in its data set"),
        "label": ("", "Class of the image; empty without classes, and for runs that did not log it"),
        "predicted": ("", "Class that the network predicts; empty as for the label"),
        "kind": ("", "The kind of loss that was trained, of which loss is the value"),
        "loss": (LOSS, "The trained loss of the image"),
        "size": (IMAGES, "Training images of the run"),
        "scale": ("× side", "Multiples of the input side at which an image is seen"),
    },
    "cells": {
        "weights_digest": ("", "Digest of the weights"),
        "data_digest": ("", "Digest of the images and their order"),
        "eval_size": (IMAGES, "Held-out images; 0 for in-sample losses"),
        "validation_size": (IMAGES, "Images that choose the epoch and tuned knobs"),
        "draw": ("", "How training images are drawn: balanced over classes, or prefix"),
        "tuned": ("", "Knobs that a search chose"),
        "kind": ("", "Kind of the trained loss"),
        "loss": (LOSS, "Mean of the trained loss over the evaluated images"),
        "accuracy": (SHARE, "Evaluated images whose class is right"),
        "flops": ("FLOP", "Compute of the run"),
        "gmac_per_image": ("GMAC", "Cost of one image"),
        "images": (IMAGES, "Evaluated images"),
    },
    "classes": {
        "shrunk": ("", "The difference, shrunk towards the mean over classes"),
        "label": ("", "The class"),
        "loss_first": (LOSS, "Mean loss of the class at the smallest scale"),
        "loss_last": (LOSS, "Mean loss of the class at the largest scale"),
        "difference": ("", "Exponent of the class minus that of all images"),
        "p_value": ("", "p-value of the difference"),
        "q_value": ("", "False-discovery rate over classes at which the class differs from all images"),
    },
    "confusion": {
        "label": ("", "Class of the images"),
        "predicted": ("", "Class that was predicted"),
        "scale": ("", "The largest scale of the curve"),
        "count": (IMAGES, "How often, summed over seeds"),
    },
    "exponents_by_law": {
        "power_alpha": ("", "Exponent α of the law k x^-α"),
        "power_floor_alpha": ("", "Exponent α of the law E + k x^-α"),
        "power_floor_E": (LOSS, "Irreducible loss of that law"),
    },
    "model_differences": {
        "family": ("", "What the compared curves have in common"),
        "size": (IMAGES, "Training images, the most that all models were trained with"),
        "reference": ("", "The model of the lowest loss there"),
        "reference_loss": (LOSS, "Its mean loss"),
        "difference": (LOSS, "Mean loss of the model minus that of the reference, by image and seed"),
        "p_holm": ("", "p-value after Holm's correction for all models"),
    },
    "setup": {
        "setting": ("", "A coordinate or knob of the cells"),
        "values": ("", "Its values"),
        "n_values": ("", "How many there are"),
    },
    "runs": {"images": (IMAGES, "Training images")},
    "checklist": {
        "part": ("", "Part of the checklist"),
        "question": ("", "What reviewers ask"),
        "answer": ("", "What the runs say, or that the authors have to say it"),
    },
    "ledger": {
        "family": ("", "What the arms have in common"),
        "parent": ("", "The arm that this one grew from"),
        "parameters": (PARAMETERS, "Size of the network"),
        "epochs": ("", "Epochs of training"),
        "best_epoch": ("", "The epoch of the least validation loss"),
        "loss_best": (LOSS, "Loss on evaluation images at that epoch"),
        "loss_final": (LOSS, "Loss on evaluation images at the last epoch"),
        "gap": (SHARE, "Accuracy at the best epoch minus that at the last"),
        "accuracy_best": (SHARE, "Accuracy on evaluation images at the best epoch"),
        "accuracy_final": (SHARE, "Accuracy on evaluation images at the last epoch"),
        "accuracy_validation": (SHARE, "Accuracy on validation images at the best epoch"),
        "accuracy_peak": (SHARE, "Highest accuracy on evaluation images at any epoch"),
        "low": (SHARE, "Wilson's lower 95 % limit of the accuracy"),
        "high": (SHARE, "Wilson's upper 95 % limit of the accuracy"),
        "miou": (SHARE, "Mean intersection over union of the classes"),
        "majority_accuracy": (SHARE, "Accuracy of guessing the most common class everywhere"),
        "gain": (SHARE, "Accuracy over that of the parent, by shared seeds"),
        "n_correct": (IMAGES, "Images (pixels in segmentation) that are right"),
        "n_total": (IMAGES, "Images (pixels in segmentation)"),
        "device": ("", "Where the network was trained"),
        "seeds": ("runs", "Seeds of the arm"),
        "out_of_memory": ("", "Batches that had to be divided for memory"),
    },
}
TABLES |= MISTAKES_TABLES | MULTIVERSE_TABLES | SEALED_TABLES
"""Definitions that hold in one table; those of ``ledger`` hold in ``ledger_arms`` too."""
PATTERNS: tuple[tuple[str, Definition], ...] = (
    (r"q(\d\d)", (LOSS, "Quantile {0} % of the per-image losses")),
    (r"(local|floor|error_rate)_without", ("", "{0} from the same data without the known studies")),
    (r"(.+)_p_holm", ("", "p-value of {0} after Holm's correction")),
    (r"(.+)_p", ("", "p-value of {0}")),
    (r"(.+)_verdict", ("", "What the difference {0} says: better, worse, no difference seen, …")),
    (r"(loss|error)_difference", ("", "{0} of the arm minus that of the baseline")),
    (
        r"(loss|error)_change_by_doubling",
        ("", "Change of the difference of {0} by each doubling of the axis"),
    ),
    (r"(loss|error)_(best_on_validation|final|evaluation)", ("", "Mean {0} of the arm, {1}")),
    (r"(.+)_at_equal_(epoch|samples|seconds)", ("", "{0} at the equal {1} of all arms")),
    (r"equal_(epoch|samples|seconds)", ("", "The largest {0} that all arms reached")),
    (r"(train|validation|eval)_loss", (LOSS, "Mean loss on {0} images after the epoch")),
    (r"(train|validation|eval)_accuracy", (SHARE, "Accuracy on {0} images after the epoch")),
    (r"(train|validation|eval)_correct", (IMAGES, "Images (pixels in segmentation) of {0} that are right")),
    (r"(train|validation|eval)_total", (IMAGES, "Images (pixels in segmentation) of {0}")),
    (r"(train|validation|eval)_([a-z_]+)", ("", "Mean {1} on {0} images after the epoch")),
    (r"(.+)_sd", ("", "Standard deviation of {0} over seeds")),
    (r"(.+)_mean", ("", "Mean of {0} over seeds")),
    (r"(.+)_low", ("", "Lower 95 % limit of {0}")),
    (r"(.+)_high", ("", "Upper 95 % limit of {0}")),
    (r"knob_(.+)", ("", "Knob {0} of the recipe; empty where the recipe has none")),
    (r"loss_(.+)", (LOSS, "Loss of the image at the scale {0}, averaged over seeds")),
    (
        rf"({'|'.join(LOSS_KINDS)}|nmse|error|final_.+)",
        (
            "",
            "This kind of loss of the image; error is 1 where the class is wrong, final_ the last epoch",
        ),
    ),
)
"""Definitions of columns whose names are made from others; an interval has the unit of its value."""


def definition(table: str, column: str) -> Definition:
    """Unit and meaning of a column. Raises: LookupError where it has no definition."""
    family = "ledger" if table.startswith("ledger") else table.partition("/")[0]
    named = TABLES.get(family, {})
    if column in named or column in COLUMNS:
        return named.get(column) or COLUMNS[column]
    for pattern, (unit, words) in PATTERNS:
        if match := re.fullmatch(pattern, column):
            value = match[1]
            known = named.get(value) or COLUMNS.get(value)
            is_limit = pattern.endswith(("_low", "_high")) and known is not None
            return known[0] if is_limit and known else unit, words.format(*match.groups())
    raise LookupError(f"column {column} of table {table} has no definition in report/columns.py")


def definitions(tables: Iterable[tuple[str, Iterable[str]]]) -> Iterator[tuple[str, str, str, str]]:
    """Rows of table, column, unit and definition, for the headers of tables by name."""
    for table, header in tables:
        for column in header:
            yield (table, column, *definition(table, column))
