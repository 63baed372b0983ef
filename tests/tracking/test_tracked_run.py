import pytest

from mlproject.tracking import TrackedRun


def test_a_data_set_that_another_process_logs_at_the_same_moment_is_logged_again():
    from mlflow.exceptions import MlflowException

    class Client:
        def __init__(self, failures):
            self.failures, self.logged = failures, []

        def log_inputs(self, run_id, inputs):
            if self.failures:
                self.failures -= 1
                raise MlflowException("UNIQUE constraint failed: datasets")
            self.logged.append(inputs[0].dataset.name)

    images = {"name": "embedded", "digest": "d", "source": "here", "context": "training"}
    client = Client(failures=1)
    TrackedRun(run_id="r", client=client).log_dataset(**images)
    assert client.logged == ["embedded"]
    with pytest.raises(MlflowException):
        TrackedRun(run_id="r", client=Client(failures=2)).log_dataset(**images)
