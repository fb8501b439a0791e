import sys

import pytest

from jade import imports
from jade.errors import PluginError


@pytest.fixture
def fault(project):
    """The error of importing a file of these lines, with its path written as FILE."""
    project.plugins()  # puts the project on the path

    def message(text: str | bytes, path: str = "modules/models/m.py", where: str = "VAE.yml:1") -> str:
        file = project.write(path, text)
        name = path.removesuffix(".py").replace("/", ".")
        with pytest.raises(PluginError) as caught:
            imports.import_file(file, name, where)
        assert name not in sys.modules
        return str(caught.value).replace(str(file), "FILE")

    return message


def test_a_file_is_imported_once_under_its_dotted_name(project):
    project.plugins()
    path = project.write("modules/models/m.py", "X = []\n")

    module = imports.import_file(path, "modules.models.m", "")

    assert module is sys.modules["modules.models.m"]
    assert imports.import_file(path, "modules.models.m", "") is module


def test_a_file_at_the_top_of_the_project_is_imported_once_too(project):
    project.plugins()
    path = project.write("my_architecture.py", "X = []\n")

    module = imports.import_file(path, "my_architecture", "")

    assert imports.import_file(path, "my_architecture", "") is module


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("import os\nimport no_such_package\n", 2, "ModuleNotFoundError: No module named 'no_such_package'"),
        ("from os import nope\n", 1, "ImportError: cannot import name 'nope' from 'os'"),
        ("x = 1\n1 / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("class A:\n    x = y\n", 2, "NameError: name 'y' is not defined"),
        ("class A(:\n", 1, "SyntaxError: invalid syntax"),
        ("if True:\nx = 1\n", 2, "IndentationError: expected an indented block"),
        ("import sys\nsys.exit('not today')\n", 2, "SystemExit: not today"),
    ],
)
def test_a_failure_shows_the_users_own_line_and_reason(fault, text, line, reason):
    message = fault(text)

    assert message.startswith("FILE cannot be imported.\n")
    assert f'File "FILE", line {line}' in message
    assert f"| {reason}" in message
    assert message.endswith("\n  at: VAE.yml:1")


def test_the_way_through_jade_and_importlib_is_not_shown(fault):
    message = fault("1 / 0\n")

    assert "importlib" not in message
    assert "jade" not in message


@pytest.mark.parametrize("path", ["modules/models/my model.py", "modules/models/m.py", "top.py"])
def test_a_file_that_failed_can_be_imported_once_it_is_mended(project, fault, path):
    fault("1 / 0\n", path)
    file = project.write(path, "MENDED = 'and of another length'\n")

    module = imports.import_file(file, path.removesuffix(".py").replace("/", "."), "")

    assert module.MENDED == "and of another length"


def test_the_failure_of_a_file_that_is_imported_in_turn_shows_both_files(project, fault):
    inner = project.write("modules/models/inner.py", "\nimport no_such_package\n")

    message = fault("from modules.models.inner import X\n")

    assert 'File "FILE", line 1' in message
    assert f'File "{inner}", line 2' in message


def test_without_a_place_none_is_shown(fault):
    assert "at: " not in fault("1 / 0\n", where="")


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("from core.trainer import Trainer", "from jade.trainer import Trainer"),
        ("from core.eval import Evaluation", "from jade.eval import Evaluation"),
        ("from core.trainer import Trainr", "from jade.trainer import Trainer"),
        ("from core import Trainer", "from jade import Trainer"),
        ("from jade.eval import Evaluaiton", "from jade.eval import Evaluation"),
        ("from jade.eval import evaluation", "from jade.eval import Evaluation"),
        ("from jade import Evaluaiton", "from jade import Evaluation"),
        ("from jade import Trainer, Evaluaiton", "from jade import Trainer, Evaluation"),
        ("from jade.trainers import Trainer", "from jade import Trainer"),
        ("from jade.core.trainer import Trainer", "from jade import Trainer"),
        ("from core.evaluation import Evaluation", "from jade import Evaluation"),
    ],
)
def test_a_mistaken_import_from_jade_gets_its_right_form(fault, written, right):
    message = fault(f"import os\n{written}\n")

    assert message.endswith(f"at: VAE.yml:1\n  FILE:2: write {right}")


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("import core.trainer", "jade.trainer"),
        ("from jade.eval import Evaluaiton as E", "from jade.eval import Evaluation as E"),
    ],
)
def test_other_ways_to_write_a_mistaken_import_get_their_right_form_too(fault, written, right):
    assert right in fault(f"{written}\n")


@pytest.mark.parametrize(
    "text",
    [
        "import no_such_package\n",
        "from no_such_package import Trainer\n",
        "from jade import Trainer\n1 / 0\n",
        "from jade.trainer import Trainer\nimport no_such_package\n",
        "from .nothing import Trainer\n",
        "from jade import qqqqqq\n",
    ],
)
def test_an_import_that_has_no_right_form_gets_none(fault, text):
    assert "write" not in fault(text).rpartition("at: ")[2]


def test_a_projects_own_package_called_core_is_left_alone(project, fault):
    project.write("core/__init__.py", "")
    project.write("core/trainer.py", "Trainer = object\n")

    message = fault("from core.trainer import Trainer\n1 / 0\n")

    assert "ZeroDivisionError" in message
    assert "write" not in message


def test_the_users_interrupt_is_not_swallowed(project):
    path = project.write("modules/models/m.py", "raise KeyboardInterrupt\n")
    project.plugins()

    with pytest.raises(KeyboardInterrupt):
        imports.import_file(path, "modules.models.m", "")


def test_the_users_exception_is_the_cause(project):
    path = project.write("modules/models/m.py", "raise RuntimeError('mine')\n")
    project.plugins()

    with pytest.raises(PluginError) as caught:
        imports.import_file(path, "modules.models.m", "")

    assert isinstance(caught.value.__cause__, RuntimeError)
