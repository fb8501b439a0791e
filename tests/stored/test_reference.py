import pytest

from jade.errors import ConfigError, JadeError
from jade.stored import reference
from jade.stored.reference import Named


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    root = tmp_path / "my experiments"
    for name in ("abc", "odd:best", "2024:7"):
        (root / name).mkdir(parents=True)
        (root / name / "config.yml").write_text("seed: 1\n")
        (root / name / "status.json").write_text('{"status": "finished"}')
    for name in ("model.pt", "checkpoint_1200.pt"):
        (root / "abc" / name).touch()
    return root


def parsed(text, root):
    return reference.parse(text, root, "--init-from")


@pytest.mark.parametrize(
    ("text", "run", "checkpoint"),
    [
        ("abc", "abc", None),
        (" abc ", "abc", None),
        ("abc:last", "abc", "last"),
        ("abc:best", "abc", "best"),
        ("abc:1200", "abc", "1200"),
        ("my experiments/abc:best", "my experiments/abc", "best"),
        ("odd:best", "odd:best", None),
        ("odd:best:last", "odd:best", "last"),
        ("2024:7", "2024:7", None),
        ("me/digits/x1", "me/digits/x1", None),
        ("me/digits/x1:best", "me/digits/x1", "best"),
        ("https://wandb.ai/me/digits/runs/x1", "https://wandb.ai/me/digits/runs/x1", None),
        ("http://127.0.0.1:8080/me/digits/runs/x1:1200", "http://127.0.0.1:8080/me/digits/runs/x1", "1200"),
    ],
)
def test_a_checkpoint_is_what_stands_behind_the_last_colon(root, text, run, checkpoint):
    found = parsed(text, root)

    assert (found.run, found.checkpoint) == (run, checkpoint)


@pytest.mark.parametrize("alias", ["latest", "v3", "prod", "my-alias"])
def test_a_path_with_another_word_behind_the_colon_is_an_artifact(root, alias):
    text = f"me/digits/model-x1:{alias}"

    assert parsed(text, root) == Named(text, text)


def test_an_unknown_checkpoint_of_a_run_names_the_nearest(root):
    with pytest.raises(ConfigError) as caught:
        parsed("abc:bset", root)

    assert str(caught.value) == (
        "'bset' is no checkpoint.\n"
        "  at: --init-from\n"
        "  did you mean: best\n"
        "  known: best, last\n"
        "  A number of iterations names a numbered one; an alias belongs to entity/project/name:alias."
    )


@pytest.mark.parametrize("text", ["", " ", ":best", ":"])
def test_a_text_without_a_run_is_refused(root, text):
    with pytest.raises(ConfigError, match="names no run"):
        parsed(text, root)


@pytest.mark.parametrize("text", ["abc", "abc:last", "abc:1200", "abc:01200", "my experiments/abc"])
def test_a_run_on_this_machine_is_found_without_asking_anyone(root, text):
    assert reference.is_here(text, root, {"WANDB_MODE": "disabled"}, "sweep.yml:3")


@pytest.mark.parametrize("text", ["x1", "x1:best", "me/digits/x1", "me/digits/model:v3"])
def test_what_may_be_on_wandb_is_not_looked_for_there(root, text):
    assert not reference.is_here(text, root, {}, "sweep.yml:3")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("abc:best", "has no checkpoint 'best'"),
        ("abc:1300", "known: 1200, last"),
        ("./nowhere", "'./nowhere'"),
        ("odd:best", "has no checkpoint 'last'"),
    ],
)
def test_what_is_not_on_this_machine_and_can_be_nowhere_else_is_refused_with_its_place(root, text, part):
    with pytest.raises(JadeError) as caught:
        reference.is_here(text, root, {"WANDB_MODE": "disabled"}, "sweep.yml:3")

    assert part in str(caught.value)
    assert "at: sweep.yml:3" in str(caught.value)
