"""The columns of the tables of the multiverse: unit and definition."""

from __future__ import annotations

CHOICES = ("loss", "summary", "law", "scales", "seeds", "outliers", "parameters", "knobs")
"""All choices, in the order of the tables."""
MULTIVERSE = {
    "exponent_change": ("", "Mean change of the exponent by this choice, all other choices equal"),
    "fall": ("share", "Share by which the loss falls from the largest scale to twice the scale"),
    "choice": ("", "A choice of the analysis that could have been made otherwise"),
    "choice_loss": ("", "Choice of the multiverse: kind of loss"),
    "choice_summary": ("", "Choice of the multiverse: how the losses of images are summed up"),
    "choice_law": ("", "Choice of the multiverse: the law"),
    "choice_scales": ("", "Choice of the multiverse: which scales are fitted"),
    "choice_seeds": ("", "Choice of the multiverse: which seeds are fitted"),
    "choice_outliers": ("", "Choice of the multiverse: whether points far from all laws are fitted"),
    "choice_parameters": ("", "Choice of the multiverse: which parameters are counted"),
    "choice_knobs": ("", "Choice of the multiverse: how knobs were chosen"),
    "choice_value": ("", "Value of the choice"),
    "choice_usual": ("", "Value of the choice in the reported analysis"),
    "n_pairs": ("specifications", "Pairs of specifications that differ in this choice alone"),
    "n_flips": ("specifications", "Pairs of which one has another conclusion than the other"),
    "as_reported": ("", "Whether this is the reported analysis"),
    "quantity": ("", "What is compared: the exponent, or the loss at the next scale"),
    "lead": (
        "",
        "Exponent of the first minus the second's; or ln of the second's loss over the first's",
    ),
    "n_specifications": ("specifications", "Combinations of choices that both curves allow"),
    "n_first": ("specifications", "Those that conclude that the first is ahead"),
    "n_second": ("specifications", "Those that conclude that the second is ahead"),
    "flips": ("", "Choices that alone, all others as reported, change the conclusion"),
}
"""Definitions by column name."""
MULTIVERSE_TABLES = {
    name: {
        "first": ("", "The curve of the lowest loss at the next scale as reported"),
        "second": ("", "The curve that it is compared with"),
        "scale": ("axis", "Where both are compared: the largest scale of both, or twice that for the loss"),
    }
    for name in ("multiverse_comparisons", "multiverse_contrasts")
}
"""Definitions that hold in one table."""
