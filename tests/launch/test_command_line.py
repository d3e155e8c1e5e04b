"""Command lines of launchers: checks of the workdir."""

import pytest

from launch import command_line


@pytest.mark.parametrize("path", ["gs://bucket/run", "/mnt/runs/run"])
def test_hosts_share_a_bucket_or_a_mounted_folder(path: str) -> None:
    command_line.check_shared_workdir(path, "several hosts share it")


@pytest.mark.parametrize("path", ["runs/a", "s3://bucket/run", "gs:/bucket/run"])
def test_other_folders_are_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="gs://BUCKET/FOLDER"):
        command_line.check_shared_workdir(path, "several hosts share it")


def test_training_waits_for_the_lock_of_a_process_that_was_killed_on_another_host() -> None:
    assert "--wait_for_lock=130" in command_line.train_command("python", [], "gs://bucket/run")
