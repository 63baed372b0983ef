import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlproject.data import load_images
from mlproject.errors import BadInput, WrongUse

from .pictures import fill

ROWS = [
    ("a.png", "cat", "train"),
    ("b/c.png", "dog", "train"),
    ("d.png", "cat", "val"),
    ("e.png", "dog", "val"),
]


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path, [path for path, *_ in ROWS])


def csv_of(folder, rows=ROWS, header="path,label,split", name="images.csv"):
    delimiter = next(each for each in (";", "\t", "|", ",") if each in header or each == ",")
    (folder / name).write_text("\n".join([header, *map(delimiter.join, rows)]) + "\n")
    return str(folder / name)


@pytest.mark.parametrize(
    "header", ["path,label,split", "Path;label;split", "path\tlabel\tsplit", "\ufeffpath|label|split"]
)
def test_a_csv_of_path_label_and_split_is_a_data_set(folder, header):
    images = load_images(csv_of(folder, header=header))
    assert images.ids == ("a.png", "b/c.png", "d.png", "e.png")
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [0, 1, 0, 1]
    assert images.held_out.tolist() == [False, False, True, True]


def test_the_same_table_as_parquet_is_the_same_data_set(folder):
    columns = dict(zip(("path", "label", "split"), map(list, zip(*ROWS, strict=True)), strict=True))
    pq.write_table(pa.table(columns), folder / "images.parquet")
    assert load_images(str(folder / "images.parquet")).digest == load_images(csv_of(folder)).digest


def test_label_and_split_may_be_absent_and_a_path_may_be_absolute(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    table = csv_of(elsewhere, [(f"{folder}/{path}",) for path, *_ in ROWS], header="path")
    images = load_images(table)
    assert (images.classes, len(images), images.n_held_out) == (("images",), 4, 0)
    assert images.ids[0] == f"{folder}/a.png"


def test_of_several_held_out_splits_one_is_taken_and_the_others_are_counted(folder):
    fill(folder, ["t.png"], first_seed=30)
    images = load_images(csv_of(folder, [*ROWS, ("t.png", "cat", "Test")]))
    assert images.ids == ("a.png", "b/c.png", "t.png")
    (skipped,) = [each for each in images.skipped if each.id == "(split val)"]
    assert skipped.reason == "2 images, not read: another split is held out"


FAULTS = {
    "no path": ([("a.png", "cat")], "file,label", r"has no column 'path' \(columns: 'file', 'label'\)"),
    "twice a name": ([("a.png", "x", "x")], "path,label,label", "names 'label' twice"),
    "a short row": ([*ROWS, ("x.png",)], "path,label,split", "row 6 of .* has 1 cells, its first row 3"),
    "an empty path": ([("", "cat", "train")], "path,label,split", "row 2 of .* has no path"),
    "an empty label": ([("a.png", " ", "train")], "path,label,split", r"row 2 of .* has no label \(a\.png\)"),
    "twice a path": ([ROWS[0], ROWS[0]], "path,label,split", r"rows 2 and 3 of .* have one path: a\.png"),
    "no rows": ([], "path,label,split", "lists no images"),
    "a word that is no split": (
        [("a.png", "cat", "kitchen")],
        "path,label,split",
        "row 2 of .* 'kitchen'; use train",
    ),
    "a split for some": (
        [*ROWS, ("f.png", "cat", "")],
        "path,label,split",
        "others of none; name all or none",
    ),
    "no training split": (
        [("a.png", "cat", "test")],
        "path,label,split",
        "none to train on; add those of train",
    ),
    "a missing file": (
        [*ROWS, ("f.png", "cat", "val")],
        "path,label,split",
        r"1 of 5 .*f\.png: no such file",
    ),
    "classes alike": (
        [ROWS[0], ("b/c.png", "Cat", "train")],
        "path,label,split",
        "give both folders one name",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_table_is_one_line_that_names_the_row(folder, fault):
    rows, header, message = FAULTS[fault]
    with pytest.raises(BadInput, match=message) as refusal:
        load_images(csv_of(folder, rows, header))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty; its first row must name the columns path, label, split"),
        ("a.csv", b"path\n\xff\xfe", "is not text in UTF-8"),
        ("a.csv", b'path,label\n"a', "cannot be read as CSV"),
        ("a.parquet", b"PAR1 no", "a.parquet is damaged or truncated"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as refusal:
        load_images(str(tmp_path / name))
    assert "\n" not in str(refusal.value)


def test_a_table_that_is_not_there_or_is_a_pipe_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"cannot read the table .*: No such file"):
        load_images(str(tmp_path / "gone.csv"))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(BadInput, match=r"cannot read the table .*: not a plain file"):
        load_images(str(tmp_path / "pipe.csv"))
    with pytest.raises(WrongUse, match="ignore must be 255"):
        load_images(str(tmp_path / "gone.csv"), ignore="none")


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(ROWS), min_size=4, max_size=4, unique=True))
def test_the_order_of_rows_changes_nothing(folder, rows):
    assert load_images(csv_of(folder, rows)).digest == load_images(csv_of(folder, name="first.csv")).digest
