"""The operations that the installed client carries, against the server's schema: a new release is looked at first here."""

import re
from importlib.metadata import version

import pytest
from graphql import (
    FieldsOnCorrectTypeRule,
    KnownArgumentNamesRule,
    KnownFragmentNamesRule,
    PossibleFragmentSpreadsRule,
    ScalarLeafsRule,
    validate,
)

from jade.server.graphql import schema
from tests.conftest import REPOSITORY
from tests.server import client_operations

# What is selected must exist. Types of variables are left out: the server takes inputs as they come.
RULES = [
    FieldsOnCorrectTypeRule,
    KnownArgumentNamesRule,
    KnownFragmentNamesRule,
    PossibleFragmentSpreadsRule,
    ScalarLeafsRule,
]
DOCUMENTED = (REPOSITORY / "docs" / "server.md").read_text()


@pytest.fixture(scope="module")
def operations():
    return [*client_operations.of_the_python_files().items(), *client_operations.of_the_core().items()]


def documented_as_not_served():
    table = DOCUMENTED.partition("| not served | why |")[2]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    assert all(row[2].strip() for row in rows)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row[1])}


def test_the_client_carries_the_operations_that_are_known_to_be_sent(operations):
    assert len(client_operations.of_the_core()) > 30
    assert len(operations) > 120
    names = {name for name, _ in operations}
    assert {"UpsertBucket", "CreateArtifact", "Heartbeat", "CreateAgent", "Runs", "UpsertSweep"} <= names


def test_what_the_schema_lacks_is_what_the_documentation_lists(operations):
    lacking = {name for name, document in operations if validate(schema(), document, RULES)}

    assert lacking == documented_as_not_served()


def test_the_installed_version_is_one_that_the_documentation_names():
    tested = re.findall(r"^\| (\d+\.\d+\.\d+) \|", DOCUMENTED, re.MULTILINE)

    assert version("wandb") in tested
