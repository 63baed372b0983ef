from dataclasses import replace

import numpy as np
import pytest

from mlproject.losses import NotFinite, read_losses, write_losses
from tests.conftest import make_losses


def test_selecting_a_split_keeps_ids_beside_their_losses() -> None:
    losses = make_losses(5)
    assert losses.select("eval").image_ids == tuple(f"{i}.png" for i in range(5, 10))
    np.testing.assert_array_equal(losses.select("eval").loss, losses.loss[5:])


def test_a_loss_that_is_not_finite_names_the_first_image() -> None:
    values = make_losses(3).loss.copy()
    values[[1, 4]] = np.nan, np.inf
    with pytest.raises(NotFinite, match=r"2 images \(first: 1.png\)"):
        replace(make_losses(3), values={"mse": values})


def test_an_image_cannot_be_trained_on_and_evaluated() -> None:
    with pytest.raises(ValueError, match="twice"):
        replace(make_losses(2), image_ids=("a", "b", "a", "c"))


def test_fits_see_the_held_out_split_where_there_is_one() -> None:
    assert make_losses(2).evaluated_split == "eval"
    assert make_losses(2).select("train").evaluated_split == "train"


def test_a_table_reads_back_bit_for_bit_and_tells_a_changed_value(tmp_path) -> None:
    losses = make_losses(7)
    write_losses(losses, tmp_path)
    assert read_losses(tmp_path / "losses.parquet").digest == losses.digest
    nudged = losses.loss.copy()
    nudged[3] = np.nextafter(nudged[3], 9)
    assert replace(losses, values=dict(losses.values) | {"mse": nudged}).digest != losses.digest
    header = (tmp_path / "losses.csv").read_text().splitlines()[0]
    assert header.replace('"', "") == "image_name,split,loss,mse,mae"
