import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from jade.errors import PluginError
from jade.plugins import Plugins

WHERE = "VAE.yml:1 (model.class)"


@pytest.fixture
def fault():
    def message(plugins: Plugins, kind: str, name: str) -> str:
        with pytest.raises(PluginError) as caught:
            plugins.find(kind, name, WHERE)
        return str(caught.value)

    return message


def test_a_class_is_found_by_its_bare_name_with_its_file_and_line(project):
    path = project.write("modules/models/VAE.py", "import math\n\nclass VAETrainer:\n    pass\n")

    plugin = project.plugins().find("model", "VAETrainer", WHERE)

    assert plugin.name == "VAETrainer"
    assert plugin.target.__module__ == "modules.models.VAE"
    assert plugin.place == f"{path}:3"


@pytest.mark.parametrize(("kind", "folder"), [("model", "models"), ("data", "data"), ("eval", "eval")])
def test_each_kind_has_a_folder_of_its_own(project, fault, kind, folder):
    project.write(f"modules/{folder}/deep/er/file.py", "class Thing: pass\n")
    plugins = project.plugins()

    assert plugins.find(kind, "Thing", WHERE).target.__name__ == "Thing"
    for other in {"model", "data", "eval"} - {kind}:
        text = fault(plugins, other, "Thing")
        assert f"There is no class 'Thing' for {other!r}." in text
        assert f"modules/{folder} has a class of this name." in text


def test_a_class_has_one_identity_however_it_is_reached(project):
    project.write("modules/models/base.py", "class Base: pass\n")
    project.write(
        "modules/models/child.py", "from modules.models.base import Base\nclass Child(Base): pass\n"
    )
    plugins = project.plugins()

    child = plugins.find("model", "Child", WHERE).target
    base = plugins.find("model", "Base", WHERE).target

    assert issubclass(child, base)
    assert sys.modules["modules.models.base"].Base is base


def test_an_instance_can_be_pickled(project):
    project.write("modules/data/d.py", "class D:\n    x = 3\n")

    instance = project.plugins().find("data", "D", WHERE).target()

    assert type(pickle.loads(pickle.dumps(instance))) is type(instance)


def test_modules_import_each_other_relatively(project):
    project.write("modules/models/layers.py", "SIZE = 3\n")
    project.write("modules/models/m.py", "from .layers import SIZE\nclass M:\n    size = SIZE\n")

    assert project.plugins().find("model", "M", WHERE).target.size == 3


def test_only_the_file_of_the_wanted_class_is_imported(project):
    project.write("modules/models/wanted.py", "class Wanted: pass\n")
    project.write("modules/models/costly.py", "raise RuntimeError('imported')\nclass Costly: pass\n")
    project.write("modules/models/broken.py", "class Broken(:\n")

    project.plugins().find("model", "Wanted", WHERE)

    assert "modules.models.costly" not in sys.modules


@pytest.mark.parametrize("name", ["2 fast-model.v1", "my-model", "class", "vae'quoted'"])
def test_a_file_name_that_is_no_identifier_is_no_obstacle(project, name):
    project.write(f"modules/models/{name}.py", "class Odd: pass\n")
    plugins = project.plugins()

    found = plugins.find("model", "Odd", WHERE).target

    assert found.__name__ == "Odd"
    assert plugins.find("model", "Odd", WHERE).target is found


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfclass Found: pass\n",
        b"class Found: pass\r\n",
        b"# -*- coding: latin-1 -*-\n# \xe9\nclass Found: pass\n",
        b"if True:\n    class Found: pass\n",
        b"try:\n    import no_such_package\nexcept ImportError:\n    class Found: pass\n",
        b"for _ in range(1):\n    class Found: pass\n",
        b"Found = type('Found', (), {'__module__': __name__})\n",
        b"class Other: pass\nFound = Other\n",
    ],
)
def test_a_class_is_found_however_it_is_written(project, text):
    project.write("modules/models/file.py", text)

    assert project.plugins().find("model", "Found", WHERE).target.__module__ == "modules.models.file"


def test_an_imported_class_does_not_count_as_the_files_own(project, fault):
    project.write("modules/models/m.py", "from collections import OrderedDict\nclass M: pass\n")

    assert "There is no class 'OrderedDict'" in fault(project.plugins(), "model", "OrderedDict")


def test_the_same_class_in_two_files_is_an_error_when_it_is_asked_for(project, fault):
    one = project.write("modules/models/one.py", "class Same: pass\nclass Only: pass\n")
    two = project.write("modules/models/sub/two.py", "\n\nclass Same: pass\n")
    plugins = project.plugins()

    assert plugins.find("model", "Only", WHERE).target.__name__ == "Only"
    assert fault(plugins, "model", "Same") == (
        f"The class Same is defined in 2 files.\n  at: {WHERE}\n  Rename one:\n    {one}:1\n    {two}:3"
    )


def test_the_same_class_name_in_two_kinds_is_no_conflict(project):
    project.write("modules/models/one.py", "class Same: kind = 'model'\n")
    project.write("modules/eval/one.py", "class Same: kind = 'eval'\n")
    plugins = project.plugins()

    assert plugins.find("model", "Same", WHERE).target.kind == "model"
    assert plugins.find("eval", "Same", WHERE).target.kind == "eval"


def test_an_unknown_class_names_the_nearest_the_known_ones_and_where_it_was_looked_for(project, fault):
    project.write("modules/models/VAE.py", "class VariationalAutoencoderTrainer: pass\nclass _Helper: pass\n")
    project.write("modules/models/VIB.py", "class VIBTrainer: pass\n")

    assert fault(project.plugins(), "model", "VariationalAutoencoder") == (
        "There is no class 'VariationalAutoencoder' for 'model'.\n"
        f"  at: {WHERE}\n"
        "  did you mean: VariationalAutoencoderTrainer\n"
        "  known: VIBTrainer, VariationalAutoencoderTrainer\n"
        f"  looked in: {project.root / 'modules' / 'models'}"
    )


def test_files_that_cannot_be_read_are_named_when_a_class_is_missing(project, fault):
    project.write("modules/models/good.py", "class Good: pass\n")
    syntax = project.write("modules/models/syntax.py", "class Broken(:\n")
    missing = project.write("modules/models/missing.py", "import no_such_package\nclass M: pass\n")
    leaves = project.write("modules/models/leaves.py", "class L: pass\nraise SystemExit(3)\n")
    null = project.write("modules/models/null.py", b"x\0")

    text = fault(project.plugins(), "model", "Broken")

    assert f"not read: {syntax}: invalid syntax (line 1)" in text
    assert f"not imported: {missing}: ModuleNotFoundError(\"No module named 'no_such_package'\")" in text
    assert f"not imported: {leaves}: SystemExit(3)" in text
    assert f"not read: {null}: " in text
    assert "(line None)" not in text
    assert "good.py" not in text


def test_a_name_that_is_no_class_says_so(project, fault):
    path = project.write("modules/models/m.py", "class M: pass\nM = 3\n")

    assert fault(project.plugins(), "model", "M") == f"M in {path} is no class.\n  at: {path}:1"


@pytest.mark.parametrize("folder", ["modules", "modules/models"])
def test_a_project_without_any_file_knows_no_class(project, fault, folder):
    (project.root / folder).mkdir(exist_ok=True)

    text = fault(project.plugins(), "model", "M")

    assert text.startswith(f"There is no class 'M' for 'model'.\n  at: {WHERE}\n  looked in: ")


def test_the_users_interrupt_during_an_import_is_not_swallowed(project):
    project.write("modules/models/m.py", "class M: pass\nraise KeyboardInterrupt\n")

    with pytest.raises(KeyboardInterrupt):
        project.plugins().find("model", "M", WHERE)


@pytest.mark.parametrize("name", ["collections.OrderedDict", "torch.optim.AdamW", "jade.Trainer"])
def test_a_dotted_name_reaches_installed_code(project, name):
    plugin = project.plugins().find("model", name, WHERE)

    assert plugin.target.__name__ == name.rpartition(".")[2]
    assert plugin.place == name.rpartition(".")[0]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("torch.optim.AdmW", "torch.optim has no 'AdmW'.\n  at: {}\n  did you mean: torch.optim.AdamW"),
        ("nope.X", "'nope' of 'nope.X' cannot be imported: No module named 'nope'\n  at: {}"),
        ("os.nope.X", "'os.nope' of 'os.nope.X' cannot be imported: {reason}\n  at: {}"),
    ],
)
def test_a_dotted_name_that_leads_nowhere_says_how_far_it_leads(project, fault, name, problem):
    reason = "No module named 'os.nope'; 'os' is not a package"

    assert fault(project.plugins(), "model", name) == problem.format(WHERE, reason=reason)


@pytest.mark.parametrize(
    "name", [".T", "..T", "./modules/models/VAE.py", "T.", "a..b", "modules/models/VAE.py", "."]
)
def test_a_path_or_a_stray_dot_in_place_of_a_class_is_no_crash(project, fault, name):
    text = fault(project.plugins(), "model", name)

    assert repr(name) in text
    assert WHERE in text


@pytest.mark.parametrize("name", ["torch.optim", "math.pi"])
def test_a_dotted_name_that_is_no_class_is_not_said_to_be_absent(project, fault, name):
    assert f"has no {name.rpartition('.')[2]!r}" not in fault(project.plugins(), "model", name)


def test_a_dotted_name_into_a_project_file_that_fails_shows_the_files_own_line(project, fault):
    project.write("modules/models/m.py", "import no_such_package\nclass M: pass\n")

    text = fault(project.plugins(), "model", "modules.models.m.M")

    assert "No module named 'no_such_package'" in text


def test_a_dotted_name_into_a_module_that_fails_in_another_way_is_an_error_of_jade(project, fault):
    project.write("modules/models/m.py", "1 / 0\nclass M: pass\n")

    assert "division by zero" in fault(project.plugins(), "model", "modules.models.m.M")


@pytest.mark.parametrize("name", ["MNIST", "FakeData", "ToTensor", "Compose"])
def test_a_bare_torchvision_name_is_found_for_data(project, name):
    plugin = project.plugins().find("data", name, WHERE)

    assert plugin.target.__name__ == name
    assert plugin.place.startswith("torchvision.")


def test_a_projects_own_class_comes_before_torchvisions(project):
    path = project.write("modules/data/mine.py", "class MNIST: pass\n")

    assert project.plugins().find("data", "MNIST", WHERE).place == f"{path}:1"


@pytest.mark.parametrize("name", ["MNSIT", "mnist"])
def test_a_mistyped_torchvision_name_is_suggested(project, fault, name):
    project.write("modules/data/mine.py", "class Digits: pass\n")

    text = fault(project.plugins(), "data", name)

    assert "did you mean: MNIST" in text
    assert "known: Digits" in text
    assert "torchvision.datasets" in text


def test_torchvision_names_are_for_data_only(project, fault):
    assert "There is no class 'MNIST' for 'model'" in fault(project.plugins(), "model", "MNIST")


def test_torchvision_is_not_imported_to_find_a_class_of_the_project(project):
    project.write("modules/data/mine.py", "class Digits: pass\n")
    project.write("modules/data/other.py", "import torchvision\nclass Other: pass\n")
    code = (
        "import sys; from pathlib import Path; from jade.plugins import Plugins\n"
        f"plugins = Plugins(Path({str(project.root)!r})); plugins.find('data', 'Digits', '')\n"
        "print(plugins.exports('data', 'MNIST'), plugins.exports('data', 'Nope'))\n"
        "print('torchvision' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", "False", "False"]


def test_the_source_of_a_class_is_given_without_importing_it(project):
    path = project.write(
        "modules/data/d.py", "raise RuntimeError\nclass D:\n    def __init__(self, a): ...\n"
    )
    project.write("modules/data/twice.py", "class Two: pass\n")
    project.write("modules/data/thrice.py", "class Two: pass\n")
    plugins = project.plugins()

    node, where = plugins.source("data", "D")

    assert (node.name, node.lineno, where) == ("D", 2, path)
    assert plugins.source("data", "Two") is None
    assert plugins.source("data", "Absent") is None


def test_an_architecture_file_offers_every_public_callable(project):
    path = project.write(
        "modules/architectures/simple.py",
        """\
        from functools import partial
        from torch.nn import Linear

        class Encoder: pass
        def make(z): return z
        Prior = partial(make, z=1)
        """,
    )
    plugins = project.plugins()

    assert plugins.architecture(path, "Encoder", "--arch_impl").place == f"{path}:4"
    assert plugins.architecture(path, "make", "--arch_impl").place == f"{path}:5"
    assert plugins.architecture(path, "Prior", "--arch_impl").target() == 1
    assert plugins.architecture(path, "Linear", "--arch_impl").target.__name__ == "Linear"


@pytest.mark.parametrize(
    ("name", "meant"), [("encoder", "Encoder"), ("Enc", "Encoder"), ("Decodr", "Decoder")]
)
def test_a_missing_architecture_names_the_nearest_class_of_the_file(project, name, meant):
    path = project.write("modules/architectures/a.py", "class Encoder: pass\nclass Decoder: pass\n")

    with pytest.raises(PluginError) as caught:
        project.plugins().architecture(path, name, "--arch_impl")

    assert str(caught.value) == (
        f"The architecture file {path} has no {name!r}.\n"
        f"  at: --arch_impl\n  did you mean: {meant}\n  known: Decoder, Encoder"
    )


@pytest.mark.parametrize("name", ["SIZE", "nn", "_Hidden", "", "Encoder.forward"])
def test_constants_modules_and_private_names_are_no_architectures(project, name):
    path = project.write(
        "modules/architectures/a.py",
        "from torch import nn\nSIZE = 3\nclass _Hidden: pass\nclass Encoder: pass\n",
    )

    with pytest.raises(PluginError, match="has no "):
        project.plugins().architecture(path, name, "--arch_impl")


def test_known_architectures_include_functions_that_may_be_used(project):
    path = project.write("modules/architectures/a.py", "def make_encoder(z): return z\nclass Decoder: pass\n")

    with pytest.raises(PluginError, match="did you mean: make_encoder"):
        project.plugins().architecture(path, "make_encodr", "--arch_impl")


def test_a_missing_architecture_file_names_those_beside_it(project):
    there = project.write("modules/architectures/simple_MNIST.py", "")

    with pytest.raises(PluginError) as caught:
        project.plugins().architectures(there.with_name("simple_MINST.py"), "--arch_impl")

    assert str(caught.value) == (
        f"There is no architecture file {there.with_name('simple_MINST.py')}.\n"
        f"  at: --arch_impl\n  did you mean: {there}\n  known: {there}"
    )


@pytest.mark.parametrize("name", ["a.txt", "a.yml", "a"])
def test_an_architecture_file_must_be_python(project, name):
    path = project.write(f"modules/architectures/{name}", "class Encoder: pass\n")

    with pytest.raises(PluginError, match=r"is no Python file\.\n  at: --arch_impl"):
        project.plugins().architectures(path, "--arch_impl")


def test_a_folder_is_no_architecture_file(project):
    with pytest.raises(PluginError, match="There is no architecture file"):
        project.plugins().architectures(project.root / "modules", "--arch_impl")


def test_an_architecture_file_may_be_given_relative_to_the_current_folder(project, monkeypatch):
    path = project.write("modules/architectures/a.py", "class Encoder: pass\n")
    monkeypatch.chdir(project.root)

    plugin = project.plugins().architecture(path.relative_to(project.root), "Encoder", "--arch_impl")

    assert plugin.target.__module__ == "modules.architectures.a"


def test_an_architecture_file_may_lie_outside_the_project(project, new_project):
    plugins = project.plugins()
    files = [
        new_project(name).write("my arch.v2.py", f"class Encoder: home = {name!r}\n")
        for name in ("one", "two")
    ]

    homes = [plugins.architecture(path, "Encoder", "--arch_impl").target.home for path in files]

    assert homes == ["one", "two"]


@pytest.mark.parametrize("path", ["colorsys.py", "json/decoder.py"])
def test_an_architecture_file_named_like_a_library_leaves_the_library_alone(project, path):
    import colorsys
    import json.decoder

    libraries = {"colorsys": colorsys, "json.decoder": json.decoder}
    file = project.write(path, "class Encoder: pass\n")

    project.plugins().architecture(file, "Encoder", "--arch_impl")

    name = path.removesuffix(".py").replace("/", ".")
    assert sys.modules[name] is libraries[name]


def test_a_second_project_in_one_process_does_not_get_the_files_of_the_first(new_project):
    found = []
    for name in ("one", "two"):
        project = new_project(name)
        project.write("modules/shared.py", f"HOME = {name!r}\n")
        project.write("modules/models/m.py", "from modules.shared import HOME\nclass M:\n    home = HOME\n")
        found.append(project.plugins().find("model", "M", WHERE).target.home)

    assert found == ["one", "two"]


def test_a_second_project_misses_what_only_the_first_one_has(new_project, fault):
    one, two = new_project("one"), new_project("two")
    one.write("modules/models/only_one.py", "X = 1\n")
    one.write("modules/models/m.py", "from modules.models.only_one import X\nclass M: pass\n")
    two.write("modules/models/m.py", "from modules.models.only_one import X\nclass M: pass\n")
    one.plugins().find("model", "M", WHERE)

    text = fault(two.plugins(), "model", "M")

    assert "No module named 'modules.models.only_one'" in text


def test_the_same_project_twice_gives_the_same_class(project):
    project.write("modules/models/m.py", "class M: pass\n")

    first, second = (project.plugins().find("model", "M", WHERE).target for _ in range(2))

    assert first is second
    assert sys.path.count(str(project.root)) == 1


# The copy of a run's code


@pytest.fixture
def copy(project, new_project, monkeypatch):
    """A project as a run has copied it, and as it has become since: the folder of the process."""
    copied = new_project("experiments/abc/code")
    for home, number in ((copied, 1), (project, 2)):
        home.write("modules/models/m.py", f"class M: number = {number}\n")
        home.write("modules/models/base.py", f"number = {number}\n")
        home.write(
            "modules/data/d.py", f"from modules.models.base import number\nclass D: number = {number}\n"
        )
        home.write("nets/net.py", f"class Net: number = {number}\n")
    monkeypatch.chdir(project.root)
    return copied


def test_classes_come_from_the_copy_although_the_project_was_looked_at_before(project, copy):
    project.plugins()

    plugins = Plugins(copy.root, snapshot=True)

    assert plugins.project == copy.root
    assert plugins.find("model", "M", WHERE).target.number == 1
    assert plugins.find("data", "D", WHERE).target.number == 1
    assert sys.modules["modules.models.base"].number == 1


def test_the_architecture_file_comes_from_the_copy(project, copy):
    plugins = Plugins(copy.root, snapshot=True)

    assert plugins.located(Path("nets/net.py")) == copy.root / "nets/net.py"
    assert plugins.architecture(Path("nets/net.py"), "Net", "--arch_impl").target.number == 1


@pytest.mark.parametrize("form", ["{outside}", "../elsewhere/net.py", "modules/../../elsewhere/net.py"])
def test_an_architecture_file_from_outside_of_the_project_comes_from_the_copy(project, copy, form):
    outside = project.root.parent / "elsewhere" / "net.py"
    outside.parent.mkdir()
    outside.write_text("class Net: number = 2\n")
    copy.write("outside/net.py", "class Net: number = 1\n")

    plugins = Plugins(copy.root, snapshot=True)

    path = Path(form.format(outside=outside))
    assert plugins.located(path) == copy.root / "outside/net.py"
    assert plugins.architecture(path, "Net", "--arch_impl").target.number == 1


def test_an_architecture_file_that_the_copy_does_not_hold_is_told(copy):
    with pytest.raises(PluginError, match=r"There is no architecture file nets/other\.py"):
        Plugins(copy.root, snapshot=True).architectures(Path("nets/other.py"), "--arch_impl")


def test_a_copy_needs_no_folder_that_its_process_was_started_in(copy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    plugins = Plugins(copy.root, snapshot=True)

    assert plugins.architecture(Path("nets/net.py"), "Net", "--arch_impl").target.number == 1
