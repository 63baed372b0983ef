import pytest

from mlproject.errors import StoreUnreachable
from mlproject.tracking import Store, TrackedRun
from mlproject.tracking.tracked_run import close_attempts, context_tags


def tracked(client, check_root=lambda: None):
    return TrackedRun(run_id="r", client=client, check_root=check_root)


class Recorder:
    """A client that keeps the batches it receives and refuses those that MLflow would refuse."""

    def __init__(self):
        self.batches = []

    def log_batch(self, run_id, metrics=(), params=(), tags=()):
        from mlflow.utils.validation import _validate_batch_log_limits

        _validate_batch_log_limits(metrics, params, tags)
        self.batches.append((metrics, params, tags))


@pytest.mark.parametrize("n_steps", [0, 1, 449, 450, 451, 1200])
@pytest.mark.parametrize(("n_params", "n_tags"), [(0, 0), (70, 60), (100, 100)])
def test_everything_is_logged_once_in_batches_that_mlflow_takes(n_steps, n_params, n_tags):
    client = Recorder()
    tracked(client).log(
        params={f"p{i}": "1" for i in range(n_params)},
        tags={f"t{i}": "1" for i in range(n_tags)},
        metrics={"loss": 0.5},
        history=[(step, {"train.loss": 1.0, "eval.loss_epoch": 2.0}) for step in range(n_steps)],
    )
    metrics, params, tags = ([e for batch in client.batches for e in batch[i]] for i in range(3))
    assert (len(params), len(tags)) == (n_params, n_tags)
    expected = [("loss", 0)] + [(k, s) for s in range(n_steps) for k in ("train.loss", "eval.loss_epoch")]
    assert [(m.key, m.step) for m in metrics] == expected


def test_a_small_run_is_logged_in_a_single_request():
    client = Recorder()
    tracked(client).log(params={"a": "1"}, metrics={"b": 1}, tags={"c": "d"})
    assert len(client.batches) == 1
    assert isinstance(client.batches[0][0][0].value, float)


def test_a_digest_is_cut_to_what_mlflow_stores_and_the_source_is_kept():
    import json

    class Client:
        def log_inputs(self, run_id, inputs):
            self.dataset, self.tags = inputs[0].dataset, inputs[0].tags

    client = Client()
    run = tracked(client)
    run.log_dataset(name="n", digest="d" * 64, source="/data", context="training")
    assert client.dataset.digest == "d" * 36
    assert json.loads(client.dataset.source) == {"uri": "/data"}
    assert [(tag.key, tag.value) for tag in client.tags] == [("mlflow.data.context", "training")]


def test_runs_record_who_ran_which_code_as_the_launcher_does():
    import getpass
    import re
    import subprocess
    import sys
    from pathlib import Path

    context_tags.cache_clear()  # asked once a process, by another test under the name of the command line
    tags = context_tags()
    assert tags["mlflow.user"] == getpass.getuser()
    assert (tags["mlflow.source.name"], tags["mlflow.source.type"]) == (sys.argv[0], "LOCAL")
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    assert tags.get("mlflow.source.git.commit", "") == commit
    assert re.fullmatch(r"[\d.]+(\.dev\d+)?", tags["code.version"])
    assert not commit or tags["code.dirty"] in ("true", "false")


@pytest.mark.parametrize("error", [NotADirectoryError, PermissionError, FileExistsError])
def test_a_place_of_artifacts_that_cannot_be_written_is_one_clear_error(tmp_path, error):
    class Client:
        def log_artifacts(self, run_id, folder):
            raise error(0, "the reason", "/place")

    with pytest.raises(StoreUnreachable, match="artifacts of run r: /place cannot be written: the reason"):
        tracked(Client()).log_files(tmp_path)


def test_what_an_engine_runs_again_has_its_earlier_attempts_closed_and_no_other_run(store: Store):
    def begun(task, status="RUNNING"):
        run = store.client.create_run(store.experiment_id, tags={"engine.task": task})
        store.client.update_run(run.info.run_id, status=status)
        return run.info.run_id

    first, second, other, ended = begun("d-1"), begun("d-1"), begun("d-2"), begun("d-1", "FINISHED")
    assert sorted(close_attempts(store.client, store.running(), "d-1")) == sorted([first, second])
    statuses = [store.client.get_run(run_id).info.status for run_id in (first, second, other, ended)]
    assert statuses == ["KILLED", "KILLED", "RUNNING", "FINISHED"]
    assert store.client.get_run(first).data.tags["reconciled"] == "its worker is gone"
    assert close_attempts(store.client, store.running(), "d-1") == []
