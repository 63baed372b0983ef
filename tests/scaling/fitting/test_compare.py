"""Differences of parameters between two fits: intervals, pairing, and what is refused."""

import numpy as np
import pytest

from mlproject.errors import BadInput
from mlproject.scaling import compare, fit


def test_exponents_are_compared_with_an_interval():
    x = np.geomspace(1e2, 1e4, 8)
    rng = np.random.default_rng(1)
    steep, shallow = (x**-a * np.exp(0.01 * rng.standard_normal(8)) for a in (0.5, 0.3))
    found = compare(fit(x, steep, law="power"), fit(x, shallow, law="power"))
    assert found.verdict == "first larger"
    assert found.difference.holds(0.2)
    assert compare(fit(x, steep, law="power"), fit(x, steep, law="power")).verdict == "no difference seen"


def test_paired_draws_cancel_what_both_share():
    x = np.geomspace(1e2, 1e4, 8)
    rng = np.random.default_rng(2)
    noise = np.exp(0.05 * rng.standard_normal((400, 8)))
    first = fit(x, x**-0.5, law="power", draws=x**-0.5 * noise)
    second = fit(x, x**-0.48, law="power", draws=x**-0.48 * noise)
    together, apart = compare(first, second), compare(first, second, paired=False)
    assert together.paired
    assert together.difference.width < 0.01 * apart.difference.width
    assert together.verdict == "first larger"


def test_a_parameter_that_a_law_lacks_is_refused():
    x = np.geomspace(1e2, 1e4, 8)
    with pytest.raises(BadInput, match="no parameter"):
        compare(fit(x, x**-0.5, law="power"), fit(x, x**-0.5, law="power"), parameter="E")
