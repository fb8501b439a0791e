import math
import subprocess
import sys
from collections import OrderedDict, namedtuple
from types import MappingProxyType

import matplotlib.figure
import numpy as np
import pytest
import torch

from jade import entries
from jade.entries import Entry
from jade.errors import ContractError


def entry(kind: object, value: object, **more: object) -> Entry:
    """The only entry of an evaluation that returns this."""
    found, _ = entries.from_evaluation("Accuracy", {"type": kind, "value": value, **more}, 7)
    assert len(found) == 1
    return found[0]


def fault(returned: object) -> str:
    with pytest.raises(ContractError) as caught:
        entries.from_evaluation("Accuracy", returned, 7)
    return str(caught.value)


def picture(value: object) -> np.ndarray:
    found = entry("image", value)
    assert found.kind == "images"
    assert len(found.value) == 1
    return found.value[0]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (0.5, 0.5),
        (True, 1.0),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(0.5), 0.5),
        (torch.tensor(0.5), 0.5),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
        (torch.tensor(3), 3.0),
        (torch.tensor(True), 1.0),
        (math.inf, math.inf),
    ],
)
def test_a_number_or_a_tensor_without_dimensions_is_a_scalar(value, number):
    found = entry("scalar", value)

    assert found == Entry("Accuracy", "scalar", number)
    assert type(found.value) is float


def test_nan_is_a_scalar():
    assert math.isnan(entry("scalar", torch.tensor(math.nan)).value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (torch.zeros(1), "Tensor of shape [1]"),
        (np.zeros((2, 3)), "ndarray of shape [2, 3]"),
        (torch.tensor(1j), "Tensor of shape []"),
        (1j, "complex 1j"),
        ("0.5", "str '0.5'"),
        (None, "NoneType None"),
        ([0.5], "list [0.5]"),
        ({"a": 1}, "dict {'a': 1}"),
        ("x" * 100, "str '" + "x" * 76 + "..."),
    ],
)
def test_anything_else_is_no_scalar_and_is_shown(value, shown):
    assert fault({"type": "scalar", "value": value}) == (
        f"The evaluation 'Accuracy' returned {shown} as a scalar;"
        " a number or a tensor without dimensions is expected.\n"
        "  For several numbers the type is 'scalars' and the value a dictionary."
    )


@pytest.mark.parametrize("mapping", [dict, OrderedDict, lambda pairs: MappingProxyType(dict(pairs))])
def test_scalars_are_one_entry_each_under_the_name_of_the_evaluation(mapping):
    value = mapping([("top1", torch.tensor(0.5)), ("top5", 1)])

    found, iteration = entries.from_evaluation("Accuracy", {"type": "scalars", "value": value}, 7)

    assert found == [Entry("Accuracy/top1", "scalar", 0.5), Entry("Accuracy/top5", "scalar", 1.0)]
    assert iteration == 7


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({}, "returned dict {} as scalars; a dictionary of names to numbers is expected."),
        ([1, 2], "returned list [1, 2] as scalars; a dictionary of names to numbers is expected."),
        ({"a": "x"}, "returned str 'x' under 'a' of its scalars; a number is expected."),
        ({"a": {"b": 1}}, "returned dict {'b': 1} under 'a' of its scalars; a number is expected."),
        (
            {"a": torch.zeros(2)},
            "returned Tensor of shape [2] under 'a' of its scalars; a number is expected.",
        ),
        ({1: 2}, "under 1 of its scalars"),
    ],
)
def test_scalars_must_be_names_to_numbers(value, problem):
    assert problem in fault({"type": "scalars", "value": value})


@pytest.mark.parametrize("iteration", [0, 3, np.int64(3)])
def test_an_evaluation_may_say_which_iteration_it_belongs_to(iteration):
    _, found = entries.from_evaluation("E", {"type": "scalar", "value": 1, "iteration": iteration}, 7)

    assert found == iteration
    assert type(found) is int


@pytest.mark.parametrize("iteration", [-1, 2.0, True, None, "3", math.nan, [3]])
def test_an_iteration_that_is_no_count_is_refused(iteration):
    assert fault({"type": "scalar", "value": 1, "iteration": iteration}) == (
        f"The evaluation 'Accuracy' returned the iteration {iteration!r};"
        " a whole number from 0 on is expected."
    )


@pytest.mark.parametrize("returned", [None, 0.5, [], "scalar", namedtuple("Pair", "type value")("scalar", 1)])
def test_an_evaluation_that_returns_no_dictionary_is_told_the_form(returned):
    text = fault(returned)

    assert text.startswith(f"The evaluation 'Accuracy' returned {type(returned).__name__} ")
    assert text.endswith("; a dictionary with 'type' and 'value' is expected.")


@pytest.mark.parametrize(
    "returned",
    [
        {},
        {"type": "scalar"},
        {"value": 1},
        {"type": "scalar", "value": 1, "step": 3},
        {"Type": 1, "value": 1},
    ],
)
def test_missing_and_surplus_keys_are_named(returned):
    assert fault(returned) == (
        f"The evaluation 'Accuracy' returned the keys {sorted(returned)};"
        " 'type' and 'value' are needed, 'iteration' may be given."
    )


@pytest.mark.parametrize(
    ("kind", "meant"),
    [("scaler", "scalar"), ("Scalar", "scalar"), ("images_", "images"), ("hist", "histogram")],
)
def test_an_unknown_type_names_the_nearest_and_all_known_ones(kind, meant):
    text = fault({"type": kind, "value": 1})

    assert text.startswith(f"The evaluation 'Accuracy' returned the type {kind!r}, which is none.")
    assert f"did you mean: {meant}" in text
    assert "scalar, scalars, figure, image, images, histogram, table, text" in text


@pytest.mark.parametrize("kind", [None, 3, ["scalar"], {}])
def test_a_type_that_is_no_text_is_refused(kind):
    assert f"returned the type {kind!r}, which is none." in fault({"type": kind, "value": 1})


def test_a_matplotlib_figure_is_handed_on_as_it_is():
    figure = matplotlib.figure.Figure()

    assert entry("figure", figure) == Entry("Accuracy", "figure", figure)


def test_an_image_may_be_given_as_a_figure():
    assert entry("figure", torch.zeros(3, 4, 5)).kind == "images"


def test_something_else_as_a_figure_is_told_that_a_figure_is_expected():
    figure = matplotlib.figure.Figure()

    assert "matplotlib figure" in fault({"type": "figure", "value": figure.subplots()})
    assert "matplotlib figure" in fault({"type": "figure", "value": None})


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 4, 5), (4, 5, 3)),
        ((4, 6, 5), (6, 5, 4)),
        ((1, 4, 5), (4, 5)),
        ((4, 5), (4, 5)),
        ((3, 4, 3), (4, 3, 3)),
    ],
)
@pytest.mark.parametrize("make", [torch.zeros, np.zeros])
def test_an_image_is_turned_from_channels_first_to_bytes_with_channels_last(make, shape, expected):
    array = picture(make(shape))

    assert array.shape == expected
    assert array.dtype == np.uint8


def test_the_pixels_of_an_image_stay_where_they_were():
    image = torch.arange(3 * 2 * 4, dtype=torch.uint8).reshape(3, 2, 4)

    array = picture(image)

    for channel in range(3):
        assert (array[:, :, channel] == image[channel].numpy()).all()


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.float16, torch.bfloat16, np.float16, np.float32, np.float64],
)
def test_floats_run_from_zero_to_one_and_are_clipped(dtype):
    values = [[-1.0, 0.0, 0.5, 1.0, 9.0, math.nan, math.inf, -math.inf]]
    is_torch = isinstance(dtype, torch.dtype)

    array = picture(torch.tensor(values, dtype=dtype) if is_torch else np.array(values, dtype=dtype))

    assert array.tolist() in ([[0, 0, 127, 255, 255, 0, 255, 0]], [[0, 0, 128, 255, 255, 0, 255, 0]])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, np.uint8, np.uint16, np.int32])
def test_whole_numbers_run_from_0_to_255(dtype):
    values = [[0, 1, 254, 255]]

    array = picture(
        torch.tensor(values, dtype=dtype) if isinstance(dtype, torch.dtype) else np.array(values, dtype)
    )

    assert array.tolist() == values


def test_whole_numbers_beyond_a_byte_are_clipped():
    assert picture(torch.tensor([[-5, 300]])).tolist() == [[0, 255]]


@pytest.mark.parametrize("value", [torch.tensor([[True, False]]), np.array([[True, False]])])
def test_true_is_white_and_false_is_black(value):
    assert picture(value).tolist() == [[255, 0]]


def test_every_byte_survives_the_way_through_floats():
    levels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)

    assert (picture(levels.float() / 255) == levels.numpy()).all()


def test_an_image_with_a_gradient_is_no_obstacle_and_is_left_as_it_was():
    image = torch.full((3, 2, 2), 0.5, requires_grad=True)

    picture(image)

    assert image.requires_grad
    assert image.tolist() == torch.full((3, 2, 2), 0.5).tolist()


@pytest.mark.parametrize("value", [np.full((2, 2), 0.5), np.full((2, 2), 7, dtype=np.uint8)])
def test_an_image_is_not_changed_in_place(value):
    before = value.copy()

    array = picture(value)
    array[:] = 0

    assert (value == before).all()


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(2, 4, 5),
        np.zeros((28, 28, 3)),
        torch.zeros(1, 3, 4, 5),
        torch.zeros(5),
        torch.zeros(3, 0, 5),
        torch.zeros(3, 4, 5) + 1j,
        np.array([["a"]]),
        np.array([[None]]),
        "image.png",
        None,
        5,
        [[1], [2, 3]],
        object(),
        matplotlib.figure.Figure(),
    ],
)
def test_what_is_no_image_is_refused_with_the_form(value):
    text = fault({"type": "image", "value": value})

    assert text.startswith("The evaluation 'Accuracy' returned ")
    assert "as an image; a tensor [C, H, W] with 1, 3 or 4 channels is expected." in text


@pytest.mark.parametrize(
    "value",
    [
        torch.zeros(2, 3, 4, 5),
        np.zeros((2, 1, 4, 5)),
        [torch.zeros(3, 4, 5), torch.zeros(1, 6, 6)],
        (torch.zeros(4, 5), np.zeros((3, 4, 5))),
    ],
)
def test_several_images_may_be_a_tensor_or_a_list_of_any_sizes(value):
    found = entry("images", value)

    assert found.kind == "images"
    assert [array.dtype for array in found.value] == [np.uint8, np.uint8]


@pytest.mark.parametrize(
    "value",
    [
        *([], (), None, 3, {"a": torch.zeros(3, 4, 5)}),
        *(torch.zeros(3, 4, 5), torch.zeros(0, 3, 4, 5), torch.zeros(1, 2, 3, 4, 5)),
    ],
)
def test_what_is_no_sequence_of_images_is_refused_with_the_form(value):
    assert "as images; a tensor [N, C, H, W] or a list of [C, H, W] is expected." in fault(
        {"type": "images", "value": value}
    )


@pytest.mark.parametrize("value", ["ab", [torch.zeros(3, 4, 5), 3], [matplotlib.figure.Figure()]])
def test_one_wrong_image_among_several_is_refused(value):
    assert "as an image; a tensor [C, H, W]" in fault({"type": "images", "value": value})


@pytest.mark.parametrize(
    ("value", "flat"),
    [
        ([1, 2, 3], [1, 2, 3]),
        (range(3), [0, 1, 2]),
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 2, 3, 4]),
        (torch.tensor([1.0], dtype=torch.bfloat16), [1]),
        (torch.tensor([1.0], requires_grad=True), [1]),
        (torch.tensor(5.0), [5]),
        (np.array([True, False]), [1, 0]),
        ([torch.tensor(1.0), torch.tensor(2.0)], [1, 2]),
    ],
)
def test_a_histogram_is_a_flat_array_of_numbers(value, flat):
    found = entry("histogram", value)

    assert found.kind == "histogram"
    assert found.value.tolist() == flat


def test_a_list_of_tensors_with_gradients_is_a_histogram_too():
    values = [torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)]

    assert entry("histogram", values).value.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "value",
    [
        [],
        "abc",
        ["a"],
        [[1], [2, 3]],
        5,
        None,
        {"a": 1},
        {1, 2},
        torch.zeros(0),
        np.array([1j]),
        np.array([None]),
    ],
)
def test_what_holds_no_numbers_is_no_histogram(value):
    assert "as a histogram; a tensor or list of numbers is expected." in fault(
        {"type": "histogram", "value": value}
    )


@pytest.mark.parametrize(
    ("value", "columns", "rows"),
    [
        ({"a": [1, 2], "b": ["x", None]}, ["a", "b"], [[1, "x"], [2, None]]),
        ({"a": (1,), 2: [True]}, ["a", "2"], [[1, True]]),
        ({"columns": ["a", "b"], "rows": [[1, 2], (3, 4)]}, ["a", "b"], [[1, 2], [3, 4]]),
        ({"columns": ["a"], "rows": []}, ["a"], []),
        ({"columns": [1, 2], "b": ["x", "y"]}, ["columns", "b"], [[1, "x"], [2, "y"]]),
        ({"a": torch.tensor([0.5, 1.5]), "b": np.array(["x", "y"])}, ["a", "b"], [[0.5, "x"], [1.5, "y"]]),
        ({"a": [torch.tensor(0.5)], "b": [np.float32(0.5)]}, ["a", "b"], [[0.5, 0.5]]),
        ({"a": [[1, 2]], "b": [{"x": 1}]}, ["a", "b"], [["[1, 2]", "{'x': 1}"]]),
    ],
)
def test_a_table_is_columns_and_rows_of_plain_cells(value, columns, rows):
    found = entry("table", value)

    assert found == Entry("Accuracy", "table", (columns, rows))
    assert all(isinstance(cell, str | int | float | None) for row in found.value[1] for cell in row)


@pytest.mark.parametrize("value", [np.int64(3), torch.tensor(3)])
def test_a_whole_number_of_a_table_stays_whole(value):
    cell = entry("table", {"count": [value]}).value[1][0][0]

    assert type(cell) is int


@pytest.mark.parametrize(
    "value",
    [
        *({}, [], None, 3, "a,b", {"a": [1, 2], "b": [1]}, {"columns": ["a"], "rows": [[1, 2]]}),
        *({"a": 3}, {"a": None}, {"a": torch.tensor(3.0)}, {"a": (n for n in "ab")}, {"a": "xyz"}),
        *({"columns": 3, "rows": [[1]]}, {"columns": "ab", "rows": [[1, 2]]}),
        *({"columns": ["a"], "rows": [1]}, {"columns": ["a"], "rows": 3}, {"columns": ["a"], "rows": None}),
        *({"columns": ["a"], "rows": ["x"]}, {"columns": None, "rows": []}),
    ],
)
def test_what_is_no_table_is_refused(value):
    text = fault({"type": "table", "value": value})

    assert text.startswith("The evaluation 'Accuracy' returned ")
    assert "table" in text


def test_columns_of_several_lengths_are_shown():
    assert "a table whose columns have the lengths {'a': 2, 'b': 1}." in fault(
        {"type": "table", "value": {"a": [1, 2], "b": [1]}}
    )


@pytest.mark.parametrize("value", ["", "two\nlines", "ä"])
def test_text_is_handed_on_as_it_is(value):
    assert entry("text", value) == Entry("Accuracy", "text", value)


@pytest.mark.parametrize("value", [None, 3, b"bytes", ["a"]])
def test_what_is_no_text_is_refused(value):
    assert "as text; a string is expected." in fault({"type": "text", "value": value})


def test_a_number_too_large_for_a_float_is_a_wrong_entry():
    assert "as a scalar" in fault({"type": "scalar", "value": 10**400})


def test_what_is_returned_is_not_changed():
    returned = {"type": "scalars", "value": {"a": 1}, "iteration": 3}

    entries.from_evaluation("E", returned, 7)

    assert returned == {"type": "scalars", "value": {"a": 1}, "iteration": 3}


@pytest.mark.parametrize(
    ("value", "number"),
    [(2, 2.0), (torch.tensor(2), 2.0), (np.float64(2), 2.0), ("2", None), (torch.zeros(1), None)],
)
def test_a_number_is_told_from_what_is_none(value, number):
    assert entries.number(value) == number


def test_checking_numbers_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from jade import entries\n"
        "entries.from_evaluation('E', {'type': 'scalar', 'value': 1}, 0)\n"
        "print(sorted({'torch', 'numpy', 'wandb', 'matplotlib'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
