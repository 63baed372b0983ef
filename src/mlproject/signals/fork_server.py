"""Imported first by the process that forks workers: from then on it ends with the one that started it."""

from mlproject.signals import end_with_parent

end_with_parent()
