"""Imported first by the process that forks workers: from then on it ends with the one that started it.

A worker that is forked as that one ends cannot read what it is to do, and would print so.
"""

import sys
from types import TracebackType

from mlproject.signals import end_with_parent


def _report_unless_given_up(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Report what a worker could not be started for, unless the pipes and semaphores to it are gone."""
    if not issubclass(kind, (OSError, EOFError)):
        sys.__excepthook__(kind, error, trace)


end_with_parent()
sys.excepthook = _report_unless_given_up
