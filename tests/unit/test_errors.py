import pytest

from jade.errors import (
    KNOWN_NAMES_SHOWN,
    CheckpointError,
    ConfigError,
    ContractError,
    JadeError,
    PluginError,
    TrackingError,
    nearest,
    raise_all,
    shown,
)


def test_an_error_shows_problem_place_suggestion_known_names_and_hint_in_this_order():
    error = JadeError(
        "T takes no parameter 'zdim'.",
        where="VAE.yml:1 (model.params)",
        wanted="zdim",
        choices=["z_dim", "beta", "beta"],
        hint="Write\n  z_dim: 64",
    )

    assert str(error) == (
        "T takes no parameter 'zdim'.\n"
        "  at: VAE.yml:1 (model.params)\n"
        "  did you mean: z_dim\n"
        "  known: beta, z_dim\n"
        "  Write\n"
        "    z_dim: 64"
    )


def test_an_error_without_place_choices_or_hint_is_its_problem_alone():
    assert str(JadeError("Nothing works.", wanted="x")) == "Nothing works."


def test_a_name_unlike_all_others_gets_no_suggestion_but_the_known_names():
    text = str(JadeError("No.", wanted="qqqq", choices=(name for name in ("beta", "alpha"))))

    assert text == "No.\n  known: alpha, beta"


def test_a_long_list_of_names_is_cut_but_the_nearest_is_found_behind_the_cut():
    names = [f"name_{index:03}" for index in range(KNOWN_NAMES_SHOWN + 5)] + ["zebra"]

    text = str(JadeError("No.", wanted="zebro", choices=names))

    assert "did you mean: zebra" in text
    assert text.endswith(f"name_{KNOWN_NAMES_SHOWN - 1:03} and 6 more")


def test_a_list_that_just_fits_is_not_cut():
    text = str(JadeError("No.", choices=[f"n{index:02}" for index in range(KNOWN_NAMES_SHOWN)]))

    assert "more" not in text
    assert f"n{KNOWN_NAMES_SHOWN - 1:02}" in text


@pytest.mark.parametrize(
    ("wanted", "choices", "meant"),
    [
        ("zdim", ["beta", "z_dim"], "z_dim"),
        ("Z_DIM", ["beta", "z_dim"], "z_dim"),
        ("n_workers", ["num_workers", "batch_size"], "num_workers"),
        ("vaetrainer", ["VAETrainer"], "VAETrainer"),
        (
            "VariationalAutoencoder",
            ["VariationalAutoencoderTrainer", "VIBTrainer"],
            "VariationalAutoencoderTrainer",
        ),
        ("VAETrainerForMNISTWithExtras", ["VAETrainer"], "VAETrainer"),
        ("VAE", ["ClassifierTrainer", "VAETrainer"], "VAETrainer"),
        ("TestLoss", ["Reg Loss", "TestLoss/reconstruction"], "TestLoss/reconstruction"),
        ("", ["beta"], None),
        ("beta", [], None),
        ("ab", ["abracadabra"], None),
        ("qqqq", ["beta"], None),
    ],
)
def test_the_nearest_name_is_what_a_person_would_have_meant(wanted, choices, meant):
    assert nearest(wanted, choices) == meant


@pytest.mark.parametrize("kind", [ConfigError, PluginError, ContractError, CheckpointError, TrackingError])
def test_every_kind_of_error_is_a_jade_error(kind):
    with pytest.raises(JadeError, match=r"^Wrong\.\n  at: here$"):
        raise kind("Wrong.", where="here")


def test_no_faults_raise_nothing():
    assert raise_all([]) is None


def test_a_single_fault_is_raised_as_it_is():
    fault = PluginError("Alone.")

    with pytest.raises(PluginError) as caught:
        raise_all([fault])

    assert caught.value is fault


def test_several_faults_are_raised_together_in_the_class_of_the_first():
    with pytest.raises(PluginError) as caught:
        raise_all([PluginError("One.", where="a.py:1"), ConfigError("Two.", hint="Mend it.")])

    assert str(caught.value) == "2 faults were found.\n\nOne.\n  at: a.py:1\n\nTwo.\n  Mend it."


def test_a_fault_reported_twice_is_shown_once():
    with pytest.raises(ConfigError) as caught:
        raise_all([ConfigError("Same.", where="a.yml:1"), ConfigError("Same.", where="a.yml:1")])

    assert str(caught.value) == "Same.\n  at: a.yml:1"


def test_nothing_of_an_error_reaches_the_terminal_as_an_order():
    error = JadeError("no \x1b[31m", wanted="\x07A", choices=["\x07a"], hint="one\ntwo\t\u202ethree")
    error.add_note("at \x9b2J")

    assert shown(error) == (
        "no \\x1b[31m\n  did you mean: \\x07a\n  known: \\x07a\n  one\n  two\t\\u202ethree\n  at \\x9b2J"
    )
