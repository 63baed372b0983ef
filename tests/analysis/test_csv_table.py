"""CSV files of every usual dialect: read as what they say, or refused by row and column with the remedy."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlproject.analysis import Columns
from mlproject.analysis.csv_groups import group_name, read_groups
from mlproject.analysis.csv_table import MOST_BYTES, read_table
from mlproject.errors import BadInput, MLProjectError, WrongUse
from mlproject.files import escape_formula, write_rows

PLAIN = Columns(x=("images",), y="loss")
POINTS = ([100.0, 200.0], [1.5, 1.25])


def read(path: Path, text: str | bytes, columns: Columns = PLAIN) -> tuple[list[float], list[float]]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    _, (group,) = read_groups(path, columns)
    return group.x[:, 0].tolist(), group.y.tolist()


def fault(path: Path, text: str | bytes, columns: Columns = PLAIN) -> str:
    with pytest.raises((WrongUse, BadInput)) as caught:
        read(path, text, columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '"images", "loss"\n"100", "1.5"\n"200" , "1.25" \n',
        '"images" , "loss"\r\n100 , 1.5\r\n 200, 1.25\r\n',
        "images,loss\r100,1.5\r200,1.25\r",
        "\n\nimages,loss\n\n100,1.5\n,\n200,1.25\n\n",
        "images,loss,\n100,1.5,\n200,1.25,\n",
        "images,loss\n100,1.5,,\n200,1.25\n",
        "images;loss\n100;1.5\n200;1.25\n",
        "images;loss\n100;1,5\n200;1,25\n",
        "images\tloss\n100\t1.5\n200\t1.25",
        "images|loss\n100|1.5\n200|1.25",
        "sep=;\r\nimages;loss\r\n100;1,5\r\n200;1,25\r\n",
        '"sep=,"\nimages,loss\n100,1.5\n200,1.25\n',
        "SEP=\t\nimages\tloss\n100\t1.5\n200\t1.25\n",
        'images,loss\n"100","1,5"\n"200","1,25"\n',
        "images,loss\n1e2,1.5e0\n2E+02,125e-2\n",
        "# images,loss\n1.000e+02,1.500e+00\n2.000e+02,1.250e+00\n",
        '# measured by "us, yes\nimages,loss\n100,1.5\n# a note, of two cells\n#150,9\n200,1.25\n',
        'note,images,loss\n"a, b\nc",100,1.5\n"say ""hi"" ",200,1.25\n',
        "n,n,images,loss\n1,2,100,1.5\n1,2,200,1.25\n",
    ],
)
def test_a_dialect_is_read_as_it_is_meant(tmp_path: Path, text: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert read(tmp_path / "p.csv", text.encode(encoding)) == POINTS


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("images;loss\n1.500;1,5\n1.250.000;0,25\n", ([1500.0, 1250000.0], [1.5, 0.25])),
        ("images;loss\n1,500;1.5\n1,250,000;1.125\n", ([1500.0, 1250000.0], [1.5, 1.125])),
        ("images\tloss\n1\u202f500\t1,5\n10\u00a0000\t1,125\n", ([1500.0, 10000.0], [1.5, 1.125])),
        ("images,loss\n1'500,1.5\n10_000,1.25\n", ([1500.0, 10000.0], [1.5, 1.25])),
        ("images;loss\n100;1.500\n200;1.250\n", POINTS),
    ],
)
def test_the_file_shows_which_sign_is_decimal_and_which_separates_thousands(
    tmp_path: Path, text: str, numbers: tuple[list[float], list[float]]
) -> None:
    assert read(tmp_path / "p.csv", text) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("images;loss\n1,500;1,234\n", "p.csv, row 2, column 'images': '1,500' may be 1.5 or 1500: write"),
        (
            "images;loss\n100;1,5\n200;1.25\n",
            "a decimal comma in p.csv, row 2, column 'loss' ('1,5'), a decimal point in p.csv, row 3, column "
            "'loss' ('1.25'): write points only",
        ),
        ('images,loss\n100,"1\n5"\n', "row 2, column 'loss': '1\\n5' is not a number above zero: the cell"),
        ("images,loss\n\n100,\n", "p.csv, row 3, column 'loss': '' is empty: write a number"),
        ("images,loss\n100,-inf\n", "row 2, column 'loss': '-inf' is not a number"),
        ("images,loss\n100,1e999\n", "row 2, column 'loss': '1e999' is beyond the numbers"),
        ("images,loss\n10k,1\n", "row 2, column 'images': '10k' is not a number above zero: write it"),
        ("images,loss\n100,1.5 nats\n", "'1.5 nats' is not a number above zero: write it out"),
        ("images,loss\n100,5%\n", "'5%' is not a number above zero: write it out, without a unit"),
        ("images,loss\n1_0,1\n", "row 2, column 'images': '1_0' is not a number above zero"),
        ("images,loss\n100 200,1\n", "row 2, column 'images': '100 200' is not a number"),
        ("images,loss\n100,1,5\n", "p.csv, row 2: 3 cells under a header of 2; a cell that holds"),
        ("images,loss\n100\n", "p.csv, row 2: 1 cells under a header of 2"),
        ('images,loss\n100,"1.5\n200,1\n', "p.csv, row 2 (line 2 of the file): unexpected end of data"),
        ("images,loss,loss\n100,1,2\n", "p.csv: column 'loss' stands in the header twice; rename"),
        ("100,1.5\n200,1\n", "unknown column 'images'; known: 1.5, 100; the first row holds numbers"),
        ("images loss\n100 1.5\n", "the header is read as one column: separate"),
        ("images:loss\n100:1.5\n", "the header is read as one column: separate"),
        ("'images','loss'\n'100','1.5'\n", "names stand in double quotes"),
        ("images,loss\n100,NaN\n", "'NaN' is not a number: write a number above zero, or delete the row"),
        ("sep=^\nimages^loss\n100^1\n", "p.csv: sep=^ is not comma, semicolon, tab or bar"),
        (b"images,loss\n100,1\n2\xe900,1\n", "p.csv, line 3: not UTF-8; save it as CSV in UTF-8"),
        ("images,loss\n100,1\n".encode("utf-16-le"), "p.csv, line 1: holds NUL characters; save it"),
        ("", "p.csv: a header and at least one row are needed"),
    ],
)
def test_what_is_ambiguous_or_no_number_is_refused_by_row_and_column(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert message in fault(tmp_path / "p.csv", text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('note,images,loss\n"a\nb\nc",100,1\nd,200,x\n', "row 3 (line 5 of the file), column 'loss'"),
        ("sep=;\nimages;loss\n100;1\n200;x\n", "row 3 (line 4 of the file), column 'loss'"),
        ("images,loss\n\n# note\n100,1\n200,x\n", "row 5, column 'loss'"),
        ("images,loss\r\r100,1\r200,x\r", "row 4, column 'loss'"),
        ('images,"loss\n(nats)"\n100,x\n', "row 2 (line 3 of the file), column 'loss (nats)'"),
    ],
)
def test_rows_are_numbered_as_spreadsheets_do_and_lines_as_editors_do(
    tmp_path: Path, text: str, where: str
) -> None:
    columns = Columns(x=("images",), y="loss (nats)" if "nats" in text else "loss")
    assert fault(tmp_path / "p.csv", text, columns).startswith(f"p.csv, {where}: 'x' is not a number")


def test_a_comma_in_a_name_separates_no_columns(tmp_path: Path) -> None:
    columns = Columns(x=("images, seen",), y="loss, nats", group=("lr, wd",))
    for text in (
        "lr, wd;images, seen;loss, nats\na;100;1,5\na;200;1,25\n",
        '"lr, wd", "images, seen", "loss, nats"\n"a", 100, 1.5\n"a", 200, 1.25\n',
    ):
        assert read(tmp_path / "p.csv", text, columns) == POINTS


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        (("a,b",), ("x",)),
        (('"a,b"',), ("x",)),
        (("c", "d"), ("p,q",)),
        (("c,d",), ("p,q",)),
        (('c,"a,b"',), ("p,x",)),
        (("--e",), ("-",)),
    ],
)
def test_groups_are_listed_by_commas_quotes_or_the_option_again(
    tmp_path: Path, entries: tuple[str, ...], names: tuple[str, ...]
) -> None:
    path = tmp_path / "p.csv"
    path.write_text('"a,b",c,d,--e,images,loss\nx,p,q,-,100,1.5\nx,p,q,-,200,1.25\n')
    columns, groups = read_groups(path, Columns(x=("images",), y="loss", group=entries))
    assert tuple(group.name for group in groups) == names
    assert all(name in ("a,b", "c", "d", "--e") for name in columns.group)


def test_a_group_option_that_may_be_one_column_or_two_is_refused_with_the_remedy(tmp_path: Path) -> None:
    text = '"a,b",a,b,images,loss\nx,y,z,100,1.5\nx,y,z,200,1.25\n'
    message = fault(tmp_path / "p.csv", text, replace(PLAIN, group=("a,b",)))
    assert message == (
        "--group a,b may be one column or 2: write --group '\"a,b\"' for the one, "
        "--group a --group b for the others"
    )
    for entries in (('"a,b"',), ("a", "b")):  # both remedies work
        assert read(tmp_path / "p.csv", text, replace(PLAIN, group=entries)) == POINTS


def test_a_row_of_a_group_whose_name_begins_with_a_number_sign_is_not_dropped(tmp_path: Path) -> None:
    columns = Columns(x=("images",), y="loss", group=("model",))
    message = fault(tmp_path / "p.csv", "model,images,loss\n#1,100,1.5\n#1,200,1.25\n", columns)
    assert message.startswith("p.csv, row 2: begins with # as a comment does, and holds numbers as data do")
    assert read(tmp_path / "p.csv", 'model,images,loss\n"#1",100,1.5\n"#1",200,1.25\n', columns) == POINTS


def test_a_row_without_the_name_of_its_group_is_a_fault_of_that_row(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("model,images,loss\nA,100,1.5\n,200,1.25\n")
    _, groups = read_groups(tmp_path / "p.csv", Columns(x=("images",), y="loss", group=("model",)))
    assert groups[1].fault == "p.csv, row 3, column 'model': empty; write the name of the group in every row"


def test_what_is_no_file_of_a_sensible_size_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    faults = {
        Path("/dev/zero"): "it is a device or pipe; save its content to a file",
        tmp_path / "pipe": "it is a device or pipe; save its content to a file",
        tmp_path: "it is a folder",
        tmp_path / "loop": "Too many levels of symbolic links",
        tmp_path / "huge.csv": "is larger than 64 MiB: give a table of points, a row for each loss",
    }
    for path, message in faults.items():
        with pytest.raises(BadInput) as caught:
            read_table(path, ["images"])
        assert str(caught.value).endswith(message)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["a,b", "a;b", 'say "x"', "=1+1", "'=1", "#1", "-", "a\nb", "1,5", " ", "\u00a0"]
)
NAMES = CELLS.map(lambda text: " ".join(text.split())).filter(bool)
SCALES = st.floats(1e-6, 1e12, allow_nan=False)


@settings(max_examples=60)
@given(
    header=st.lists(NAMES, min_size=3, max_size=4, unique=True),
    rows=st.lists(st.tuples(NAMES, SCALES, SCALES, CELLS), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_quoted_file_is_read_as_it_was_written_in_every_dialect(
    header: list[str],
    rows: list[tuple[str, float, float, str]],
    delimiter: str,
    line_end: str,
    encoding: str,
) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([[escape_formula(name) for name in header]])
    writer.writerows([escape_formula(row[0]), *row[1:3], row[3]][: len(header)] for row in rows)
    name, x, y = header[:3]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.csv"
        path.write_bytes(written.getvalue().encode(encoding))
        table = read_table(path, [x, y])
        _, groups = read_groups(path, Columns(x=(x,), y=y, group=(_quoted(name),)))
    assert table.header == tuple(header)
    assert table.texts([name]) == [(row[0],) for row in rows]
    read_back = {(g.name, *p) for g in groups for p in zip(g.x[:, 0].tolist(), g.y.tolist(), strict=True)}
    assert read_back == {(row[0], row[1], row[2]) for row in rows}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(NAMES, SCALES, SCALES), min_size=1, max_size=5))
def test_names_in_a_table_that_was_written_here_are_the_groups_that_are_fitted(
    rows: list[tuple[str, float, float]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.csv"
        write_rows(path, ["images", "model", "loss"], [(x, name, y) for name, x, y in rows])
        _, groups = read_groups(path, Columns(x=("images",), y="loss", group=("model",)))
    assert [group.name for group in groups] == list(dict.fromkeys(name for name, *_ in rows))


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=2, max_size=2, unique_by=tuple))
def test_groups_of_several_columns_have_names_of_their_own(keys: list[list[str]]) -> None:
    assert group_name(keys[0]) != group_name(keys[1])


@settings(max_examples=100)
@given(
    st.binary(max_size=200) | st.text("images,lo;\n\r\"'#|=.0123456789e -+\t", max_size=60).map(str.encode)
)
def test_bytes_of_any_kind_are_read_or_refused_and_never_unexpected(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.csv"
        for start in (b"", b"images,loss\n"):
            path.write_bytes(start + content)
            with contextlib.suppress(MLProjectError):
                read_groups(path, PLAIN)
