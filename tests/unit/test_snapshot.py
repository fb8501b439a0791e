import importlib.util
import subprocess
import sys

import pytest

from jade import snapshot


@pytest.fixture
def project(tmp_path, monkeypatch):
    # A git checkout around the temporary folder is not the project's.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    project = tmp_path / "my project"
    project.mkdir()
    return project.resolve()


@pytest.fixture
def imported(project, monkeypatch):
    """Write a file of the project, with text in it if it is no code, and import it."""

    def add(name, text="X = 1\n"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(f"snapshot_of_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, spec.name, module)
        return path

    return add


def copied(project, into):
    left_out = snapshot.copy_code(project, into)
    names = sorted(str(path.relative_to(into)) for path in into.rglob("*") if path.is_file())
    return names, left_out


def git(folder, *arguments):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


# Code


def test_imported_files_and_the_text_files_beside_them_are_copied(project, imported, tmp_path):
    imported("modules/models/VAE.py")
    (project / "modules/models/README").write_text("read me")
    (project / "modules/models/unused.py").write_text("")
    (project / "modules/eval").mkdir()
    (project / "modules/eval/not_imported.py").write_text("")
    (project / "data.csv").write_text("not beside anything that is imported")

    names, left_out = copied(project, tmp_path / "code")

    assert names == ["modules/models/README", "modules/models/VAE.py", "modules/models/unused.py"]
    assert left_out == []
    assert (tmp_path / "code/modules/models/VAE.py").read_text() == "X = 1\n"


def test_without_imported_files_nothing_is_copied(project, tmp_path):
    (project / "train.py").write_text("")

    assert copied(project, tmp_path / "code") == ([], [])


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        ".netrc",
        "id.key",
        "server.pem",
        "cluster.env",
        "weights.pt",
        "x.log",
        "nohup.out",
        "slurm-7.err",
    ],
)
def test_files_that_hold_secrets_or_no_code_are_never_copied(project, imported, tmp_path, name):
    imported("train.py")
    (project / name).write_text("WANDB_API_KEY=secret")

    names, _ = copied(project, tmp_path / "code")

    assert names == ["train.py"]


def test_files_of_hidden_folders_are_never_copied(project, imported, tmp_path):
    imported("train.py")
    imported(".cache/module.py")
    (project / ".cache/secret.txt").write_text("secret")

    names, _ = copied(project, tmp_path / "code")

    assert names == ["train.py"]


def test_files_that_are_too_big_are_left_out_and_named(project, imported, tmp_path):
    imported("train.py")
    (project / "exactly.txt").write_text("x" * 1024 * 1024)
    (project / "more.txt").write_text("x" * (1024 * 1024 * 3 // 2))

    names, left_out = copied(project, tmp_path / "code")

    assert names == ["exactly.txt", "train.py"]
    assert left_out == ["more.txt (1.5 MB, more than 1 MB)"]


@pytest.mark.parametrize(
    "content", [b"\x89PNG\xff\xfe", b"text\0with a zero"], ids=["not utf-8", "zero byte"]
)
def test_files_that_are_no_text_are_left_out_and_named(project, imported, tmp_path, content):
    imported("train.py")
    (project / "picture.png").write_bytes(content)

    names, left_out = copied(project, tmp_path / "code")

    assert names == ["train.py"]
    assert left_out == ["picture.png (not text)"]


def test_packages_of_an_environment_inside_the_project_are_left_out(project, imported, tmp_path):
    imported("train.py")
    imported("venv/lib/python3.11/site-packages/package/__init__.py")
    imported(".venv/lib/python3.11/site-packages/hidden.py")

    names, left_out = copied(project, tmp_path / "code")

    assert (names, left_out) == (["train.py"], [])


def test_the_standard_library_of_an_environment_inside_the_project_is_left_out(
    project, imported, tmp_path, monkeypatch
):
    imported("train.py")
    (project / "env/conda-meta").mkdir(parents=True)
    imported("env/lib/python3.11/dataclasses_.py")
    for prefix in ("prefix", "base_prefix", "exec_prefix"):
        monkeypatch.setattr(sys, prefix, str(project / "env"))

    names, left_out = copied(project, tmp_path / "code")

    assert (names, left_out) == (["train.py"], [])


def test_a_module_whose_file_is_gone_does_no_harm(project, imported, tmp_path):
    imported("train.py")
    imported("gone.py").unlink()

    names, _ = copied(project, tmp_path / "code")

    assert names == ["train.py"]


def test_modules_with_odd_files_do_no_harm(project, imported, tmp_path, monkeypatch):
    imported("train.py")
    for name, file in (("odd_none", None), ("odd_namespace", ""), ("odd_text", "<string>")):
        module = type(sys)(name)
        module.__file__ = file
        monkeypatch.setitem(sys.modules, name, module)

    names, _ = copied(project, tmp_path / "code")

    assert names == ["train.py"]


# Differences


@pytest.fixture
def copy(project, imported, tmp_path):
    """A copy of a project of two files, and the project."""
    imported("train.py")
    imported("modules/models/vae.py")
    snapshot.copy_code(project, tmp_path / "code")
    return tmp_path / "code"


def test_a_copy_of_what_is_still_there_has_no_differences(project, copy):
    assert snapshot.differences(copy, project) == []


def test_files_that_were_changed_or_are_gone_are_named_in_order(project, copy):
    (project / "train.py").unlink()
    (project / "modules/models/vae.py").write_text("X = 2\n")

    assert snapshot.differences(copy, project) == ["modules/models/vae.py", "train.py"]


def test_a_file_that_has_become_a_folder_is_a_difference(project, copy):
    (project / "train.py").unlink()
    (project / "train.py").mkdir()

    assert snapshot.differences(copy, project) == ["train.py"]


def test_other_ends_of_lines_are_a_difference(project, copy):
    (project / "train.py").write_bytes(b"X = 1\r\n")

    assert snapshot.differences(copy, project) == ["train.py"]


def test_what_the_copy_never_held_is_no_difference(project, copy):
    (project / "modules/models/new.py").write_text("")
    (project / "data.csv").write_text("1")

    assert snapshot.differences(copy, project) == []


def test_what_python_compiled_in_the_copy_is_no_difference(project, copy):
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__/train.cpython-311.pyc").write_bytes(b"x")

    assert snapshot.differences(copy, project) == []


def test_a_copy_that_is_not_there_has_no_differences(project, tmp_path):
    assert snapshot.differences(tmp_path / "nothing", project) == []


@pytest.mark.parametrize(
    ("text", "differing"),
    [("N = 1\n", []), ("N = 2\n", ["outside/net.py"]), (None, ["outside/net.py"])],
    ids=["the same", "changed", "gone"],
)
def test_an_architecture_file_outside_of_the_project_is_compared_where_it_lies(
    project, imported, tmp_path, text, differing
):
    imported("train.py")
    architecture = tmp_path / "elsewhere" / "net.py"
    architecture.parent.mkdir()
    architecture.write_text("N = 1\n")
    snapshot.copy_code(project, tmp_path / "code", architecture)
    architecture.unlink()
    if text is not None:
        architecture.write_text(text)

    assert snapshot.differences(tmp_path / "code", project, architecture) == differing


# Git


@pytest.fixture
def repository(project):
    git(project, "init", "--quiet")
    (project / "train.py").write_text("one\n")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "--message", "first")
    return project


def test_a_clean_checkout_has_a_commit_and_no_diff(repository):
    assert snapshot.git_state(repository) == (git(repository, "rev-parse", "HEAD"), "")


def test_changes_since_the_commit_staged_or_not_are_in_the_diff(repository):
    (repository / "train.py").write_text("two\n")
    (repository / "new.py").write_text("new\n")
    git(repository, "add", "new.py")

    _, diff = snapshot.git_state(repository)

    assert "-one\n+two" in diff
    assert "+new" in diff


def test_the_diff_of_a_project_below_a_checkout_is_its_own(repository):
    below = repository / "below"
    below.mkdir()
    (below / "train.py").write_text("one\n")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "second")
    (repository / "train.py").write_text("above\n")
    (below / "train.py").write_text("below\n")

    commit, diff = snapshot.git_state(below)

    assert commit == git(repository, "rev-parse", "HEAD")
    assert "+below" in diff
    assert "+above" not in diff


@pytest.mark.parametrize(
    "setting", [("color.ui", "always"), ("diff.external", "true"), ("diff.noprefix", "true")], ids="=".join
)
def test_the_diff_can_be_applied_whatever_git_is_set_to(repository, tmp_path, setting):
    git(repository, "config", *setting)
    (repository / "train.py").write_text("two\n")

    _, diff = snapshot.git_state(repository)

    (tmp_path / "git.diff").write_text(diff)
    git(repository, "checkout", "--", "train.py")
    git(repository, "apply", str(tmp_path / "git.diff"))
    assert (repository / "train.py").read_text() == "two\n"


def test_a_diff_that_is_too_big_is_left_out_and_says_so(repository):
    (repository / "train.py").write_text("x" * (snapshot.LARGEST_DIFF + 1))

    _, diff = snapshot.git_state(repository)

    assert "is left out: more than" in diff
    assert len(diff) < 200


def test_outside_a_checkout_there_is_no_commit(project):
    assert snapshot.git_state(project) == (None, "")


def test_a_checkout_without_commits_has_none(project):
    git(project, "init", "--quiet")

    assert snapshot.git_state(project) == (None, "")


def test_without_git_there_is_no_commit(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))

    assert snapshot.git_state(repository) == (None, "")


# Environment


def test_the_environment_says_what_a_run_was_started_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    known = snapshot.environment(["python", "train.py"])

    assert known["command"] == ["python", "train.py"]
    assert known["folder"] == str(tmp_path)
    assert known["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert {"torch", "wandb", "numpy"} <= set(known["packages"])
    assert list(known["packages"]) == sorted(known["packages"], key=str.lower)
