"""Copies of artifacts: no name leads out of the folder, nothing is replaced, contents are verified."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mlproject.errors import BadInput, DigestMismatch, WrongUse
from mlproject.tracking.artifacts import SUMS_DIGEST, Artifacts, write_sums
from mlproject.tracking.copies import Copy, artifact_names, copy_artifacts, place_of


@pytest.fixture
def run(tmp_path: Path) -> Artifacts:
    folder = tmp_path / "experiment" / "run" / "artifacts"
    (folder / "tables").mkdir(parents=True)
    (folder / "losses.csv").write_text("losses")
    (folder / "tables" / "a.csv").write_text("a")
    tags = {SUMS_DIGEST: write_sums(folder)}
    return Artifacts(run_id="R", uri=str(folder), ended=0, tags=tags, client=None)


def copies(run: Artifacts, to: Path) -> list[Copy]:
    return [Copy(artifacts=run, name=name, target=place_of(to, name)) for name in artifact_names(run)]


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../a", "a/../../b", "..", "", ".", "a\\..\\b", "a\nb", "\0"],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="is refused: it would lie outside"):
        place_of(tmp_path, name)


def test_files_are_copied_once_and_the_same_content_is_left_alone(run: Artifacts, tmp_path: Path) -> None:
    to = tmp_path / "to"
    assert copy_artifacts(copies(run, to), to) == (2, 0)
    assert (to / "tables" / "a.csv").read_text() == "a"
    assert copy_artifacts(copies(run, to), to) == (0, 2)


def test_another_content_is_never_replaced_and_nothing_is_copied_beside_it(
    run: Artifacts, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    to.mkdir()
    (to / "losses.csv").write_text("mine")
    with pytest.raises(WrongUse, match=r"losses\.csv is there with another content, and nothing was copied"):
        copy_artifacts(copies(run, to), to)
    assert [path.name for path in to.iterdir()] == ["losses.csv"]
    assert (to / "losses.csv").read_text() == "mine"


def test_links_folders_and_files_in_the_way_are_refused(run: Artifacts, tmp_path: Path) -> None:
    to, elsewhere = tmp_path / "to", tmp_path / "elsewhere"
    to.mkdir()
    elsewhere.mkdir()
    (to / "tables").symlink_to(elsewhere)
    with pytest.raises(WrongUse, match="tables is a symbolic link, which is not followed"):
        copy_artifacts(copies(run, to), to)
    (to / "tables").unlink()
    (to / "losses.csv").symlink_to(elsewhere / "x")
    with pytest.raises(WrongUse, match=r"losses\.csv is a symbolic link"):
        copy_artifacts(copies(run, to), to)
    (to / "losses.csv").unlink()
    (to / "tables").write_text("a file")
    with pytest.raises(WrongUse, match="tables is no folder"):
        copy_artifacts(copies(run, to), to)
    (to / "tables").unlink()
    (to / "losses.csv").mkdir()
    with pytest.raises(WrongUse, match=r"losses\.csv is a folder"):
        copy_artifacts(copies(run, to), to)
    assert list(elsewhere.iterdir()) == []


def test_files_that_are_there_are_known_by_their_digests_without_a_download(
    run: Artifacts, tmp_path: Path
) -> None:
    to = tmp_path / "to"
    wanted = copies(run, to)
    copy_artifacts(wanted, to)
    assert run.folder is not None
    (run.folder / "losses.csv").unlink()
    assert copy_artifacts(wanted, to) == (0, 2)


def test_damaged_missing_and_linked_artifacts_are_refused(run: Artifacts, tmp_path: Path) -> None:
    to, folder = tmp_path / "to", run.folder
    assert folder is not None
    (folder / "losses.csv").write_text("changed")
    with pytest.raises(DigestMismatch, match=r"run R is damaged: its losses\.csv differs"):
        copy_artifacts(copies(run, to), to)
    (folder / "losses.csv").unlink()
    with pytest.raises(DigestMismatch, match=r"run R is damaged: its losses\.csv is missing"):
        copy_artifacts(copies(run, to), to)
    (tmp_path / "secret").write_text("losses")
    (folder / "losses.csv").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInput, match="is a link out of its run"):
        copy_artifacts(copies(run, to), to)


def test_artifacts_of_a_server_are_listed_downloaded_and_removed_again(tmp_path: Path) -> None:
    def listed(run_id: str, folder: str | None) -> list[SimpleNamespace]:
        inside = [SimpleNamespace(path="tables/a.csv", is_dir=False)]
        top = [SimpleNamespace(path="tables", is_dir=True), SimpleNamespace(path="b.csv", is_dir=False)]
        return [*(inside if folder else top), SimpleNamespace(path="circle/of", is_dir=True)]

    def download(run_id: str, name: str, to: str) -> str:
        path = Path(to) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        downloads.append(path)
        return str(path)

    downloads: list[Path] = []
    client = SimpleNamespace(list_artifacts=listed, download_artifacts=download)
    run = Artifacts(run_id="R", uri="mlflow-artifacts:/1/R", ended=0, tags={}, client=client)
    assert artifact_names(run) == ["b.csv", "tables/a.csv"]
    assert copy_artifacts(copies(run, tmp_path), tmp_path) == (2, 0)
    assert (tmp_path / "tables" / "a.csv").read_text() == "tables/a.csv"
    assert not any(path.exists() for path in downloads)
