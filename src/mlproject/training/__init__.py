"""Training: seeds, schedules and optimisers for all recipes, and the one loop that trains whole networks.

    Settings + Task + Examples -> train(net, …) -> Trained

``train`` changes the network in place and goes on from a checkpoint where there is one; ``judge`` gives
values for every image. What is learned (loss, extra terms, augmentation) is the recipe's, as a ``Task``.
"""

from mlproject.training.evaluation import judge
from mlproject.training.loop import Diverged, Trained, train
from mlproject.training.optimizers import OPTIMIZERS, build_optimizer
from mlproject.training.schedule import Schedule, generator, seeded
from mlproject.training.settings import Settings
from mlproject.training.task import Examples, Measure, Task, Values

__all__ = [
    "OPTIMIZERS",
    "Diverged",
    "Examples",
    "Measure",
    "Schedule",
    "Settings",
    "Task",
    "Trained",
    "Values",
    "build_optimizer",
    "generator",
    "judge",
    "seeded",
    "train",
]
