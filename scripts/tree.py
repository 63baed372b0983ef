"""The tree of the README: every top-level package and module with the first line of its docstring.

python scripts/tree.py            print it
python scripts/tree.py --write    put it into README.md, between <!-- tree --> and <!-- /tree -->
python scripts/tree.py --check    exit with 1 when README.md holds another one
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
SOURCE = ROOT / "src" / "mlproject"
BEGIN, END = "<!-- tree -->", "<!-- /tree -->"
WIDTH = 15


def tree() -> str:
    """The tree as the README shows it."""
    return "\n".join(["```text", "src/mlproject/", *_lines(SOURCE), "```"])


def embedded(text: str) -> str | None:
    """The tree that a text holds between the two marks; None where it holds no marks."""
    _, begin, rest = text.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    return inside.strip() if begin and end else None


def _lines(folder: Path) -> Iterator[str]:
    """Modules in order of name, packages after them."""
    paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "__"))]
    for path in (path for path in paths if path.suffix == ".py"):
        yield f"{'  ' + path.name:<{WIDTH}} {_first_line(path)}".rstrip()
    for path in (path for path in paths if (path / "__init__.py").exists()):
        yield f"{f'  {path.name}/':<{WIDTH}} {_first_line(path / '__init__.py')}".rstrip()


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.partition("\n")[0].strip()


def main() -> int:
    """Print, write or check."""
    text = README.read_text("utf-8") if README.exists() else ""
    if "--check" in sys.argv:
        return int(embedded(text) != tree())
    if "--write" not in sys.argv:
        print(tree())
        return 0
    if embedded(text) is None:
        print(f"README.md has no lines {BEGIN} and {END}", file=sys.stderr)
        return 1
    before, _, rest = text.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{tree()}\n{END}{rest.partition(END)[2]}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
