"""Columns of the tables of error rates with the prior of known studies: unit and definition."""

SHARE = "share"
KNOWN_STUDIES: dict[str, tuple[str, str]] = {
    "local": ("", "Exponent at the largest scale over all laws, with the prior of known studies"),
    "floor": (SHARE, "Irreducible error over all laws, with the prior of known studies"),
    "error_rate": (SHARE, "Predicted error rate, with the prior of known studies"),
    "library_weight": (SHARE, "Weight of the known studies in the prior, after the data"),
    "bayes_factor": ("", "Of the known studies against the usual priors; below 1/3 the data disagree"),
    "study": ("", "A known study"),
    "study_data": ("", "Data set of the known study"),
    "study_model": ("", "Model of the known study"),
    "study_exponent": ("", "Exponent of the known study's law"),
    "source": ("", "Where the known study's values stand"),
}
"""Definitions by column name, those of ``columns.py`` aside."""
