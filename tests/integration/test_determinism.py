"""The same seed gives the same bits: each shipped example, run twice, and as long as nobody stops it once more."""

import json

import pytest
import torch

from jade import cli
from tests.conftest import MNIST, REPOSITORY
from tests.integration import torture

DIGITS = [
    (model, architecture)
    for model in ("VAE_digits", "VIB_digits", "classifier_digits")
    for architecture in ("simple_digits", "conv_digits")
]
ON_MNIST = [(model, "simple_MNIST") for model in ("VAE", "VIB", "classifier")]
EVALUATIONS = {"VAE": "VAE_simple", "VIB": "VIB_simple", "classifier": "classifier_simple"}


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Make one run in this process and return its folder."""
    monkeypatch.chdir(REPOSITORY)

    def run(run_id, model, architecture, data, *others):
        arguments = [
            f"--model_conf=configurations/models/{model}.yml",
            f"--data_conf=configurations/data/{data}.yml",
            f"--eval_conf=configurations/eval/{EVALUATIONS[model.partition('_')[0]]}.yml",
            f"--arch_impl=modules/architectures/{architecture}.py",
            f"--experiments-root={tmp_path}",
            f"--run_id={run_id}",
            "--tracker=local",
            "--device=cpu",
            *others,
        ]
        assert cli.main(arguments) == 0
        return tmp_path / run_id

    return run


@pytest.mark.parametrize(("model", "architecture"), DIGITS)
def test_an_example_of_the_digits_gives_the_same_bits_each_time(train, model, architecture):
    one, other = (train(name, model, architecture, "digits_valid", "--epochs=2") for name in ("one", "other"))

    assert torture.differences(one, other) == []


@pytest.mark.skipif(not MNIST.is_dir(), reason="the MNIST files are not beside this repository")
@pytest.mark.parametrize(("model", "architecture"), ON_MNIST)
def test_an_example_of_mnist_gives_the_same_bits_each_time(train, mnist, monkeypatch, model, architecture):
    monkeypatch.setenv("DATA_ROOT", str(mnist))
    small = ["--epochs=1", "data.train.params.split=valid"]

    one, other = (train(name, model, architecture, "MNIST_valid", *small) for name in ("one", "other"))

    assert torture.differences(one, other) == []


def test_another_seed_gives_other_bits(train):
    one = train("one", "VIB_digits", "simple_digits", "digits_valid", "--epochs=1")
    other = train("other", "VIB_digits", "simple_digits", "digits_valid", "--epochs=1", "--seed=7")

    assert torture.differences(one, other) != []


def test_the_number_of_workers_does_not_change_the_result(train):
    alone = train("alone", "VIB_digits", "simple_digits", "digits_valid", "--epochs=1")
    helped = train(
        "helped", "VIB_digits", "simple_digits", "digits_valid", "--epochs=1", "model.params.num_workers=2"
    )

    assert torture.differences(alone, helped) == []


def test_deterministic_is_a_value_of_the_configuration_and_turns_torchs_algorithms_on(train):
    try:
        run = train("one", "VIB_digits", "simple_digits", "digits_valid", "--epochs=1", "--deterministic")

        assert torch.are_deterministic_algorithms_enabled()
        assert "deterministic: true" in (run / "config.yml").read_text()
        assert json.loads((run / "status.json").read_text())["status"] == "finished"
    finally:
        torch.use_deterministic_algorithms(False)
