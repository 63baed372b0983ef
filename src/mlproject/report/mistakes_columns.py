"""Columns of the tables of mistakes by scale: unit and definition."""

SHARE, IMAGES = "share", "images"
MISTAKES: dict[str, tuple[str, str]] = {
    "family": ("", "What the compared curves have in common"),
    "outcome": ("", "The scale from which an image stays right; lost, or never right"),
    "share_of_images": (SHARE, "Images of the curve with this outcome"),
    "share_right_first": (SHARE, "Runs of the smallest scale that have the image right"),
    "share_right_last": (SHARE, "Runs of the largest scale that have the image right"),
    "trend": ("", "Slope of ln loss over ln scale; above 0 where the loss rises"),
    "trend_error": ("", "Standard error of the trend, from what seeds differ by"),
    "trend_q_value": ("", "False-discovery rate at which the trend differs from zero"),
    "worse": ("", "Whether the loss rises beyond what seeds differ by, at a false-discovery rate of 5 %"),
    "chance": (SHARE, "Forecast chance that a run has the image right at the next scale"),
    "chance_scale": ("axis", "The next scale: twice the largest"),
    "first_scale": ("", "Scale of the first"),
    "second_scale": ("", "Scale of the second"),
    "expected": (SHARE, "Agreement that the accuracies alone would give"),
    "kappa": ("", "Error consistency κ: 1 for the same mistakes, 0 for as many shared as by chance"),
    "confidence": (SHARE, "Mean probability of the predicted class"),
    "overconfidence": (SHARE, "Mean confidence minus accuracy"),
    "calibration_error": (SHARE, "Root mean square of confidence minus accuracy over bins, without bias"),
    "ece": (SHARE, "Expected calibration error over bins of equally many images"),
    "ece_calibrated": (SHARE, "That error of perfectly calibrated networks with these confidences"),
    "brier": ("", "Mean squared difference of the chance and what happened"),
    "log_score": ("nats", "Mean of -ln of the chance of what happened"),
    "auc": ("", "Area under the ROC curve"),
    "brier_gain": ("", "By how much the trajectory has the better Brier score"),
    "log_gain": ("nats", "By how much the trajectory has the better log score"),
    "auc_gain": ("", "By how much the trajectory has the larger area"),
}
"""Definitions by column name, those of ``columns.py`` aside."""
MISTAKES_TABLES: dict[str, dict[str, tuple[str, str]]] = {
    "error_consistency": {
        "first": ("", "Model of the first cell"),
        "second": ("", "Model of the second cell"),
        "observed": (SHARE, "Images that both have right or both have wrong, over pairs of seeds"),
    },
    "calibration": {"accuracy": (SHARE, "Evaluated images whose class is right")},
    "image_forecasts": {"method": ("", "Forecast by the trajectory, the last scale, or the base rate")},
    "learned": {"n_images": (IMAGES, "Images with this outcome")},
}
"""Definitions of columns that mean something else in other tables."""
