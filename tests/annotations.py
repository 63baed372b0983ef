"""Check annotations at every call while tests run: beartype, as an import hook over the whole package."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from beartype import BeartypeConf
from beartype.claw import beartype_package

PACKAGE = "mlproject"


def check_annotations() -> None:
    """Install the hook, before the package is imported; whole numbers pass as floats (PEP 484)."""
    conf = BeartypeConf(is_pep484_tower=True, warning_cls_on_decorator_exception=None)
    beartype_package(PACKAGE, conf=conf)
    sys.meta_path.insert(0, _TypeNames())


class _TypeNames(MetaPathFinder):
    """Lets names under ``if TYPE_CHECKING``, which beartype cannot import, stand for any object."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_with_names(module: ModuleType) -> None:
                execute(module)
                if hasattr(module, "TYPE_CHECKING"):
                    module.__getattr__ = _lookup(module)

            spec.loader.exec_module = execute_with_names
        return spec


def _lookup(module: ModuleType) -> Callable[[str], object]:
    """The module's ``__getattr__``, extended by the names that are imported for type checkers only."""
    lazy = vars(module).get("__getattr__")
    names = {
        alias.asname or alias.name
        for block in ast.parse(inspect.getsource(module)).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def attribute(name: str) -> object:
        try:
            if lazy is not None:
                return lazy(name)
        except AttributeError:
            pass
        if name in names:
            return object
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    return attribute
