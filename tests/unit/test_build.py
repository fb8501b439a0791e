import pytest

from jade.build import Architectures, Builder, Datasets, building, is_description
from jade.errors import ConfigError, ContractError, JadeError, PluginError
from jade.plugins import Plugin

DATA = """\
class Toy:
    def __init__(self, root, transform=None, options=None):
        self.root, self.transform, self.options = root, transform, options

class Scale:
    def __init__(self, by=1):
        self.by = by

class Chain:
    def __init__(self, steps):
        self.steps = steps

class Failing:
    def __init__(self):
        raise RuntimeError("mine")

class Loading:
    def __init__(self):
        from torch.utils.data import DataLoader
        self.loader = DataLoader([1, 2],
                                 n_workers=2)

class Appending:
    def __init__(self, items):
        items.append("more")
        self.items = items
"""


@pytest.fixture
def builder(project):
    project.write("modules/data/toys.py", DATA)
    return Builder(project.plugins(), lambda key: f"data.yml:9 ({key})")


@pytest.fixture
def create(builder):
    def created(name: str, /, **params):
        return builder.create("data", "data.train", {"class": name, "params": params})

    return created


@pytest.fixture
def fault(create):
    def message(name: str, /, **params) -> str:
        with pytest.raises(JadeError) as caught:
            create(name, **params)
        return str(caught.value)

    return message


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ({"class": "A"}, True),
        ({"class": "A", "params": {}}, True),
        ({"class": "A", "params": None}, True),
        ({"class": "A", "size": 3}, False),
        ({"class": 3}, False),
        ({"params": {}}, False),
        ({}, False),
        ("A", False),
        (None, False),
    ],
)
def test_a_mapping_with_class_and_at_most_params_is_a_description(value, answer):
    assert is_description(value) is answer


def test_a_description_becomes_an_instance_given_its_params(create):
    toy = create("Toy", root="x")

    assert (type(toy).__name__, toy.root, toy.transform) == ("Toy", "x", None)


@pytest.mark.parametrize("params", [None, {}])
def test_a_nested_description_is_built_with_its_defaults(create, params):
    assert create("Toy", root="x", transform={"class": "Scale", "params": params}).transform.by == 1
    assert create("Toy", root="x", transform={"class": "Scale"}).transform.by == 1


def test_descriptions_are_built_at_any_depth_of_mappings_and_lists(create):
    scale = {"class": "Scale", "params": {"by": 3}}

    chain = create("Toy", root="x", transform={"class": "Chain", "params": {"steps": [scale, [scale], 4]}})
    options = create("Toy", root="x", options={"a": {"b": scale}, "c": [{"d": scale}]}).options

    assert chain.transform.steps[0].by == 3
    assert chain.transform.steps[1][0].by == 3
    assert chain.transform.steps[2] == 4
    assert options["a"]["b"].by == 3
    assert options["c"][0]["d"].by == 3


def test_a_nested_description_may_name_installed_code(create):
    counter = create(
        "Toy", root="x", transform={"class": "collections.Counter", "params": {"a": 2}}
    ).transform

    assert counter == {"a": 2}


def test_a_constructor_cannot_change_the_configuration(create):
    items = ["one"]

    assert create("Appending", items=items).items == ["one", "more"]
    assert items == ["one"]


def test_an_unknown_param_is_refused_at_its_own_line_before_anything_is_built(fault):
    assert fault("Toy", root="x", rot="y") == (
        "Toy takes no parameter 'rot'.\n"
        "  at: data.yml:9 (data.train.params.rot)\n"
        "  did you mean: root\n"
        "  known: options, root, transform"
    )


def test_a_missing_param_is_refused(fault):
    assert fault("Toy") == (
        "Toy needs the parameter 'root'.\n  at: data.yml:9 (data.train.params)\n  given: none"
    )


def test_all_faults_of_a_description_and_those_inside_it_come_together(fault):
    text = fault(
        "Toy", rot="y", transform={"class": "Chain", "params": {"steps": [{"class": "Scael"}], "n": 1}}
    )

    assert text.startswith("4 faults were found.")
    assert "There is no class 'Scael' for 'data'.\n  at: data.yml:9 (data.train.params.transform" in text
    assert "did you mean: Scale" in text
    assert "Chain takes no parameter 'n'." in text
    assert "Toy takes no parameter 'rot'." in text
    assert "Toy needs the parameter 'root'." in text


@pytest.mark.parametrize("params", [[1], "x", 3, True])
def test_params_of_a_nested_description_that_are_no_mapping_are_refused(fault, params):
    text = fault("Toy", root="x", transform={"class": "Scale", "params": params})

    assert "data.train.params.transform" in text


def test_the_users_exception_passes_with_a_note_of_what_was_built(project, create):
    with pytest.raises(RuntimeError, match="mine") as caught:
        create("Failing")

    file = project.root / "modules" / "data" / "toys.py"
    assert caught.value.__notes__ == [
        f"while building data.train: Failing from {file}:13, described at data.yml:9 (data.train)"
    ]


def test_a_mistyped_name_in_the_users_own_code_is_explained_beside_the_exception(project, create):
    with pytest.raises(TypeError, match="n_workers") as caught:
        create("Loading")

    file = project.root / "modules" / "data" / "toys.py"
    assert caught.value.__notes__[0] == (
        f"{file}:20: DataLoader takes no parameter 'n_workers'. did you mean: num_workers."
    )
    assert caught.value.__notes__[1].startswith("while building data.train: Loading")


def test_a_mistyped_name_in_a_trainers_initialize_is_explained(project):
    project.write(
        "modules/models/guide.py",
        """\
        from torch.utils.data import DataLoader

        class Guide:
            def initialize(self, batch_size):
                self.train_loader = DataLoader([1, 2], batch_size=batch_size, n_workers=0)
        """,
    )
    plugin = project.plugins().find("model", "Guide", "")

    def initialize():
        with building("model", plugin, "VAE.yml:1"):
            plugin.target().initialize(batch_size=2)

    with pytest.raises(TypeError) as caught:
        initialize()
    file = project.root / "modules" / "models" / "guide.py"
    assert caught.value.__notes__ == [
        f"{file}:5: DataLoader takes no parameter 'n_workers'. did you mean: num_workers.",
        f"while building model: Guide from {file}:3, described at VAE.yml:1",
    ]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_the_users_wish_to_leave_gets_no_note(kind):
    def leave():
        with building("model", Plugin("T", object, "a.py:1"), "VAE.yml:1"):
            raise kind

    with pytest.raises(kind) as caught:
        leave()
    assert not hasattr(caught.value, "__notes__")


@pytest.fixture
def model(project):
    project.write("modules/models/m.py", "class M:\n    def initialize(self, z_dim, beta=1): ...\n")
    project.write("modules/models/e.py", "class E:\n    def initialize(self, evaluate_every, z_dim=1): ...\n")
    project.write(
        "modules/models/k.py", "class K:\n    def initialize(self, **kwargs): self.kwargs = kwargs\n"
    )
    builder = Builder(project.plugins(), lambda key: f"VAE.yml:1 ({key})")

    def check(name, params, extra=()):
        description = {"class": name, "params": params}
        return [str(fault) for fault in builder.check("model", "model", description, "initialize", extra)]

    return check


def test_the_params_of_a_trainer_are_those_of_its_initialize(model):
    assert model("M", {"z_dim": 1}) == []
    assert model("K", {"whatever": 1}) == []
    assert model("M", {"z_dim": 1, "zdim": 2}) == [
        "M takes no parameter 'zdim'.\n"
        "  at: VAE.yml:1 (model.params.zdim)\n"
        "  did you mean: z_dim\n"
        "  known: beta, z_dim"
    ]


@pytest.mark.parametrize("name", ["datasets", "architecture", "trainer", "device"])
def test_what_jade_hands_over_itself_is_no_param_of_a_trainer(model, name):
    assert "has a name that JADE uses itself" in model("M", {"z_dim": 1, name: 2})[0]
    assert "has a name that JADE uses itself" in model("K", {name: 2})[0]


def test_such_a_name_is_free_for_a_dataset(project, builder):
    project.write(
        "modules/data/d.py", "class OnDevice:\n    def __init__(self, device): self.device = device\n"
    )

    description = {"class": "OnDevice", "params": {"device": "cpu"}}

    assert builder.create("data", "data.train", description).device == "cpu"


def test_evaluate_every_belongs_to_jade_unless_initialize_asks_for_it(model):
    assert model("M", {"z_dim": 1, "evaluate_every": 2}, ("evaluate_every",)) == []
    assert model("E", {"evaluate_every": 2}, ("evaluate_every",)) == []
    assert "E needs the parameter 'evaluate_every'" in model("E", {}, ("evaluate_every",))[0]


def test_a_check_builds_nothing(builder):
    assert builder.check("data", "data.train", {"class": "Failing", "params": {}}) == []


def test_a_dataset_is_checked_without_importing_it(project, builder):
    project.write(
        "modules/data/costly.py", "1 / 0\nclass Costly:\n    def __init__(self, root, split='a'): ...\n"
    )

    def check(name, **params):
        return [str(f) for f in builder.check_unimported("data", "data.x", {"class": name, "params": params})]

    assert check("Costly", root=1) == []
    assert "Costly takes no parameter 'rot'." in check("Costly", root=1, rot=2)[0]
    assert "Costly needs the parameter 'root'." in check("Costly")[0]
    assert check("MNIST", anything=1) == []
    assert check("torchvision.datasets.MNIST", anything=1) == []
    assert "did you mean: Costly" in check("Costli")[0]


@pytest.fixture
def architectures(project):
    path = project.write(
        "modules/architectures/simple.py",
        """\
        class Encoder:
            def __init__(self, z_dim, layers=()):
                if z_dim == 0:
                    raise ValueError("nothing left")
                self.z_dim = z_dim

        def make_prior(z_dim): return ("prior", z_dim)
        """,
    )
    return Architectures(project.plugins(), path, "--arch_impl")


def test_an_architecture_is_built_by_its_name(architectures):
    assert architectures.create("Encoder", {"z_dim": 3}).z_dim == 3
    assert architectures.create("make_prior", {"z_dim": 4}) == ("prior", 4)


def test_wrong_params_of_an_architecture_name_its_file_and_line(project, architectures):
    with pytest.raises(PluginError) as caught:
        architectures.create("Encoder", {"zdim": 3})

    file = project.root / "modules" / "architectures" / "simple.py"
    assert f"Encoder takes no parameter 'zdim'.\n  at: {file}:1\n  did you mean: z_dim" in str(caught.value)
    assert f"Encoder needs the parameter 'z_dim'.\n  at: {file}:1" in str(caught.value)


def test_an_exception_in_an_architecture_keeps_its_class_and_gets_a_note(architectures):
    with pytest.raises(ValueError, match="nothing left") as caught:
        architectures.create("Encoder", {"z_dim": 0})

    assert caught.value.__notes__[0].startswith("while building architecture Encoder: Encoder from ")


@pytest.mark.parametrize("name", [None, 3, object])
def test_an_architecture_is_asked_for_by_its_name(architectures, name):
    with pytest.raises(
        PluginError, match=r"is no name of an architecture\.\n  instantiate_architecture\('Encoder', …\)"
    ):
        architectures.create(name, {})


class Items:
    def __getitem__(self, index):
        return index


class Stream:
    def __getitem__(self, index):
        return index

    def __iter__(self):
        return iter([1])


@pytest.fixture
def datasets():
    made = []

    def create(name, description):
        made.append(name)
        return description["params"]

    described = {
        "train": {"class": "A", "params": [1, 2]},
        "test": {"class": "B", "params": [3]},
        "items": {"class": "C", "params": Items()},
        "stream": {"class": "D", "params": Stream()},
    }
    return Datasets(described, create, "data.yml:1 (data)"), made


def test_a_dataset_is_built_when_it_is_first_asked_for_and_kept(datasets):
    mapping, made = datasets

    assert made == []
    assert mapping["train"] is mapping["train"]
    assert made == ["train"]


def test_names_length_and_membership_build_nothing(datasets):
    mapping, made = datasets

    assert list(mapping) == ["train", "test", "items", "stream"]
    assert len(mapping) == 4
    assert "train" in mapping
    assert "valid" not in mapping
    assert mapping.get("valid") is None
    assert mapping.get("valid", 3) == 3
    assert repr(mapping) == "<Datasets train, test, items, stream>"
    assert made == []


def test_get_builds_a_dataset_that_is_there(datasets):
    mapping, made = datasets

    assert mapping.get("test") == [3]
    assert made == ["test"]


@pytest.mark.parametrize(
    ("name", "meant"), [("trian", "train"), ("Test", "test"), ("validation", None), (0, None)]
)
def test_a_dataset_that_no_file_describes_names_those_there_are(datasets, name, meant):
    with pytest.raises(ConfigError) as caught:
        datasets[0][name]

    suggestion = f"  did you mean: {meant}\n" if meant else ""
    assert str(caught.value) == (
        f"There is no dataset {name!r}.\n"
        f"  at: data.yml:1 (data)\n{suggestion}  known: items, stream, test, train"
    )


def test_a_dataset_without_a_length_shows_the_method_to_add(datasets):
    with pytest.raises(ContractError) as caught:
        datasets[0]["items"]

    assert str(caught.value).startswith(
        "The dataset 'items' is a Items, which has no __len__.\n  at: data.yml:1 (data)\n"
    )
    assert "def __len__(self):" in str(caught.value)


def test_a_dataset_that_is_iterated_needs_no_length(datasets):
    assert list(datasets[0]["stream"]) == [1]


def test_a_dataset_that_failed_is_tried_again():
    calls = []

    def create(name, description):
        calls.append(name)
        if len(calls) == 1:
            raise OSError("no disk")
        return [1]

    mapping = Datasets({"train": {}}, create, "data.yml:1")

    with pytest.raises(OSError, match="no disk"):
        mapping["train"]
    assert mapping["train"] == [1]
