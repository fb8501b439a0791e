"""A copy of code imported under a name of its own: what it sees, and what it leaves alone."""

import importlib
import importlib.machinery
import logging
import pickle
import py_compile
import shutil
import subprocess
import sys
from textwrap import dedent

import pytest

from jade import isolated

LOOKUPS = """
import builtins
import importlib
import importlib.util
import importlib.util as looked
import pkgutil
import pydoc
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import modules.nets
import modules.nets as nets
from modules import nets as again
from modules.nets import Net

from .. import nets as relative

found = [modules.nets.NAME, nets.NAME, again.NAME, Net.NAME, relative.NAME]


def lazily():
    from modules.nets import Net as late

    return [
        late.NAME,
        __import__("modules.nets").nets.NAME,
        builtins.__import__("modules.nets", fromlist=["NAME"]).NAME,
        importlib.__import__("modules.nets").nets.NAME,
        import_module("modules.nets").NAME,
        importlib.import_module("modules.nets").NAME,
        importlib.import_module("..nets", "modules.models").NAME,
        importlib.import_module("..nets", __package__).NAME,
        Path(find_spec("modules.nets").origin).read_text().split("'")[1],
        Path(importlib.util.find_spec("modules.nets").origin).read_text().split("'")[1],
        Path(looked.find_spec("modules.nets").origin).read_text().split("'")[1],
        pkgutil.resolve_name("modules.nets:NAME"),
        pydoc.locate("modules.nets.NAME"),
    ]
"""


@pytest.fixture
def project(tmp_path):
    """Write a folder of code, in which a name tells which it is."""
    before = set(sys.modules)

    def write(name, **files):
        folder = tmp_path / name
        texts = {"modules/nets": f"NAME = '{name}'\n\n\nclass Net:\n    NAME = NAME\n", **files}
        for path, text in texts.items():
            file = folder / f"{path}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        return folder

    yield write
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "modules":
            del sys.modules[name]


def entered(folder):
    return isolated.enter(folder, isolated.contents(folder))


def test_every_way_to_import_leads_into_the_copy_though_the_present_code_is_imported(project, monkeypatch):
    present = project("present")
    monkeypatch.syspath_prepend(present)
    assert importlib.import_module("modules.nets").NAME == "present"
    copies = [entered(project(name, **{"modules/models/vib": LOOKUPS})) for name in ("one", "other")]

    one, other = (importlib.import_module(f"{copy}.modules.models.vib") for copy in copies)

    assert set(one.found) | set(one.lazily()) == {"one"}
    assert set(other.found) | set(other.lazily()) == {"other"}
    assert sys.modules["modules.nets"].NAME == "present"
    assert importlib.import_module is not one.import_module


def test_code_beside_modules_is_the_copys_own_too(project):
    folder = project(
        "run", **{"mine/layers": "SIZE = 3", "modules/models/vib": "from mine.layers import SIZE"}
    )

    assert importlib.import_module(f"{entered(folder)}.modules.models.vib").SIZE == 3


def test_a_name_handed_to_somebody_elses_code_is_refused_rather_than_found_in_the_present_code(
    project, monkeypatch, tmp_path
):
    monkeypatch.syspath_prepend(project("present"))
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "looking_up.py").write_text(
        "import importlib\n\n\ndef get(name):\n    return importlib.import_module(name)\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "helpers")
    folder = project("run", **{"modules/models/vib": "import looking_up\n\n\ndef get():\n    return looking_up.get('modules.nets')"})  # fmt: skip
    vib = importlib.import_module(f"{entered(folder)}.modules.models.vib")

    with pytest.raises(ModuleNotFoundError) as refused:
        vib.get()

    assert "'modules' is asked for by the name that it had when the run was trained" in str(refused.value)


def test_a_module_that_the_copy_does_not_have_is_named_as_its_code_names_it(project):
    folder = project("run", **{"modules/models/vib": "from modules.lost import Net"})

    with pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module(f"{entered(folder)}.modules.models.vib")

    assert str(missing.value) == f"No module named 'modules.lost' in the run's copy of its code, {folder}"
    assert missing.value.name == "modules.lost"


def test_an_optional_module_that_is_not_there_can_be_caught(project):
    text = "try:\n    import modules.lost\nexcept ImportError:\n    modules = None\n"
    folder = project("run", **{"modules/models/vib": text})

    assert importlib.import_module(f"{entered(folder)}.modules.models.vib").modules is None


def test_code_of_the_present_folder_that_the_copy_lacks_is_named(project, monkeypatch, tmp_path, caplog):
    (tmp_path / "forgotten_beside.py").write_text("SIZE = 1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    folder = project("run", **{"modules/models/vib": "from forgotten_beside import SIZE"})

    with caplog.at_level(logging.WARNING):
        importlib.import_module(f"{entered(folder)}.modules.models.vib")

    (line,) = caplog.messages
    assert line.startswith("forgotten_beside is not in the copy of the run's code: that of")


def test_entering_imports_nothing_and_importing_leaves_no_bytecode(project, tmp_path):
    mark = tmp_path / "mark"
    folder = project("run", **{"modules/__init__": f"from pathlib import Path; Path({str(mark)!r}).touch()"})
    before = sorted(folder.rglob("*"))

    name = entered(folder)
    was_executed = mark.exists()
    importlib.import_module(f"{name}.modules.nets")

    assert not was_executed
    assert mark.exists()
    assert sorted(folder.rglob("*")) == before


def test_bytecode_that_lies_in_the_copy_is_not_read(project, tmp_path):
    folder = project("run", **{"modules/models/vib": "VALUE = 'text'"})
    other = project("bytecode", **{"modules/models/vib": "VALUE = 'bytes'"})
    path = folder / "modules/models/vib.py"
    cached = importlib.util.cache_from_source(str(path))
    py_compile.compile(
        str(other / "modules/models/vib.py"),
        cached,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )

    assert importlib.import_module(f"{entered(folder)}.modules.models.vib").VALUE == "text"


def test_what_was_changed_since_it_was_entered_is_not_imported(project):
    folder = project("run", **{"modules/late": "VALUE = 'late'"})
    name = entered(folder)
    importlib.import_module(f"{name}.modules.nets")
    (folder / "modules" / "late.py").write_text("VALUE = 'other'")
    (folder / "modules" / "new.py").write_text("VALUE = 'new'")

    for module in ("late", "new"):
        with pytest.raises(ImportError, match=f"{module}.py is not what it was when the run was opened"):
            importlib.import_module(f"{name}.modules.{module}")

    assert importlib.import_module(f"{entered(folder)}.modules.late").VALUE == "other"


def test_code_that_was_changed_and_is_found_elsewhere_as_it_was_is_imported_from_there(project, tmp_path):
    one, copy = project("same", **{"modules/late": "VALUE = 'late'"}), tmp_path / "copy"
    shutil.copytree(one, copy)
    name = entered(one)
    importlib.import_module(f"{name}.modules.nets")
    (one / "modules" / "late.py").write_text("VALUE = 'other'")

    again = entered(copy)

    assert again == name
    assert importlib.import_module(f"{again}.modules.late").VALUE == "late"


def test_only_source_is_imported_from_a_copy(project):
    folder = project("run")
    for file in ("bytes.pyc", f"binary{importlib.machinery.EXTENSION_SUFFIXES[0]}", "__pycache__/hidden.pyc"):
        path = folder / "modules" / file
        path.parent.mkdir(exist_ok=True)
        py_compile.compile(str(folder / "modules" / "nets.py"), path)
    name = entered(folder)

    for module in ("bytes", "binary", "__pycache__.hidden"):
        with pytest.raises(ImportError, match="is no source: of a run's code nothing else is imported"):
            importlib.import_module(f"{name}.modules.{module}")


def test_the_same_code_in_two_folders_is_one_package_also_when_one_is_deleted(project, tmp_path):
    one, two = project("same"), tmp_path / "copy"
    one.rename(two)
    name = entered(two)
    two.rename(one)

    again = entered(one)

    assert again == name
    assert importlib.import_module(f"{again}.modules.nets").NAME == "same"


def test_an_object_unpickles_in_a_process_that_was_given_the_path(project):
    folder = project("run")
    net = importlib.import_module(f"{entered(folder)}.modules.nets").Net()
    code = "import pickle, sys; sys.path[:] = eval(sys.argv[1]); print(pickle.loads(bytes.fromhex(sys.argv[2])).NAME)"

    done = subprocess.run(
        [sys.executable, "-c", code, repr(sys.path), pickle.dumps(net).hex()], capture_output=True, text=True
    )

    assert (done.stdout, done.stderr) == ("run\n", "")
