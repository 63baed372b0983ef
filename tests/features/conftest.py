"""Each test starts with no table opened and no network loaded."""

import pytest

from mlproject.features import forget


@pytest.fixture(autouse=True)
def _nothing_opened():
    forget()
