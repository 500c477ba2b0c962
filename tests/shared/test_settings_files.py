"""Secrets in files."""

from pathlib import Path

import pytest
from patchbay_shared.errors import StartupError
from patchbay_shared.settings import settings_from


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """Orchestrators mount secrets as files; the last newline is no part of them."""
    (tmp_path / "key").write_text("hidden\n")

    assert settings_from({"PATCHBAY_SECRET_KEY_FILE": str(tmp_path / "key")}).secret_key == "hidden"


def test_the_variable_itself_wins_over_its_file(tmp_path: Path) -> None:
    """What is nearer to the process is meant."""
    (tmp_path / "key").write_text("of the file")
    given = {"PATCHBAY_SECRET_KEY": "of the variable", "PATCHBAY_SECRET_KEY_FILE": str(tmp_path / "key")}

    assert settings_from(given).secret_key == "of the variable"


def test_only_secrets_are_read_from_files(tmp_path: Path) -> None:
    """PATCHBAY_PORT_FILE is nothing that a setting could be."""
    (tmp_path / "port").write_text("9")

    assert settings_from({"PATCHBAY_PORT_FILE": str(tmp_path / "port")}).port == 8080


def test_a_secrets_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """Starting without the secret would be worse; the line names variable and file."""
    with pytest.raises(StartupError, match=r"PATCHBAY_BUS_URL_FILE names .*absent.*No such file"):
        settings_from({"PATCHBAY_BUS_URL_FILE": str(tmp_path / "absent")})
