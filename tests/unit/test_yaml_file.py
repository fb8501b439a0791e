import json
import random
from pathlib import Path

import pytest

from jade.errors import ConfigError
from jade.yaml_file import read_yaml

ENVIRON = {
    "N": "4",
    "LAYERS": "[64, 32]",
    "ROOT": "/data sets/x",
    "EMPTY": "",
    "FLAG": "yes",
    "RATE": "1e-4",
    "MAPPING": "{a: 1}",
    "BROKEN": "[1, ",
    "REF": "$N",
    "COLON": "a: b",
    "HASH": "x # y",
    "LINES": "a\nb",
    "PADDED": " 3 ",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "it's [my] folder"
    folder.mkdir()
    return folder / 'model "1" #2.yml'


@pytest.fixture
def read(file: Path):
    def read_text(text: str | bytes, environ: dict[str, str] = ENVIRON):
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_yaml(file, environ)

    return read_text


@pytest.fixture
def fault(read):
    def message(text: str | bytes, environ: dict[str, str] = ENVIRON) -> str:
        with pytest.raises(ConfigError) as caught:
            read(text, environ)
        return str(caught.value)

    return message


def test_values_are_typed_without_the_surprises_of_yaml(read):
    tree = read("a: 1e-4\nb: 010\nc: 12:30\nd: 2024-01-01\ne: yes\nf:\ng: '1'\nh: {}\ni: [1, x]\n")

    assert tree.values == {
        "a": 1e-4,
        "b": 10,
        "c": "12:30",
        "d": "2024-01-01",
        "e": True,
        "f": None,
        "g": "1",
        "h": {},
        "i": [1, "x"],
    }


def test_every_key_and_group_has_the_place_where_it_was_written(read, file):
    tree = read("# a comment\nclass: T\nparams:\n\n  z_dim: 1\n  sub: {a: 1}\n")

    assert tree.path == file
    assert tree.origins == {
        "class": f"{file}:2",
        "params": f"{file}:3",
        "params.z_dim": f"{file}:5",
        "params.sub": f"{file}:6",
        "params.sub.a": f"{file}:6",
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$N", 4),
        ("${N}", 4),
        ("${N:-7}", 4),
        ("${EMPTY:-7}", 7),
        ("${NO:-7}", 7),
        ("${NO:-1e-4}", 1e-4),
        ("${NO:-[1, 2]}", [1, 2]),
        ("${NO:-$N}", 4),
        ("${NO:-/p/$N}", "/p/4"),
        ("${NO:-a b}", "a b"),
        ("$RATE", 1e-4),
        ("$FLAG", True),
        ("$ROOT/MNIST", "/data sets/x/MNIST"),
        ("${ROOT}/MNIST_${N}", "/data sets/x/MNIST_4"),
        ("$N$N", 44),
        ("$N.5", 4.5),
        ("[$N, '$N', \"$N\"]", [4, "$N", "4"]),
        ("{x: $N}", {"x": 4}),
        ("'$N'", "$N"),
        ('"$N"', "4"),
        ('"${N} layers"', "4 layers"),
        ("|-\n  $N", "$N"),
        (">-\n  $N", "$N"),
        ("$$N", "$N"),
        ("5$", "5$"),
        ("$5", "$5"),
        ("$(N)", "$(N)"),
        ("$REF", "$N"),
        ("$COLON", "a: b"),
        ("$HASH", "x # y"),
        ("$LINES", "a\nb"),
    ],
)
def test_a_variable_is_expanded_where_it_stands_plain_or_in_double_quotes(read, written, value):
    assert read(f"a: {written}\n").values == {"a": value}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$LAYERS", [64, 32]),
        ("${LAYERS}", [64, 32]),
        ("$MAPPING", {"a": 1}),
        ('"$LAYERS"', "[64, 32]"),
        ("x$LAYERS", "x[64, 32]"),
        ("$BROKEN", "[1, "),
    ],
)
def test_a_variable_holds_a_list_only_where_it_is_the_whole_plain_value(read, written, value):
    assert read(f"a: {written}\n").values == {"a": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [("[&a [*a]]", "[&a [*a]]"), ("{[1]: 2}", "{[1]: 2}"), ("[0x_]", ["0x_"])],
)
def test_a_variable_with_yaml_that_stands_for_no_value_stays_text(read, text, value):
    assert read("a: $X\n", {"X": text}).values == {"a": value}


def test_spaces_around_a_number_in_a_variable_do_not_make_it_text(read):
    assert read("a: $PADDED\n").values == {"a": 3}


def test_a_missing_variable_names_itself_its_key_its_line_and_the_nearest_one(fault, file):
    text = fault("class: T\nparams:\n  num_workers: ${NUM_WORKER}\n", {"NUM_WORKERS": "2", "HOME": "/"})

    assert text == (
        "The environment variable NUM_WORKER is not set.\n"
        f"  at: {file}:3 (params.num_workers)\n"
        "  did you mean: NUM_WORKERS\n"
        "  export NUM_WORKER=…, or add it to .env, or write ${NUM_WORKER:-default}."
    )


def test_an_empty_variable_is_told_from_one_that_is_not_set(fault, file):
    text = fault("a:\n  - x\n  - $EMPTY\n")

    assert text.startswith(f"The environment variable EMPTY is empty.\n  at: {file}:3 (a[1])\n")
    assert "did you mean" not in text


@pytest.mark.parametrize("written", ["${", "${}", "${N", "${1}", "${N-x}", "${N:?x}", '"${N"', "${NO:-${N}}"])
def test_a_malformed_reference_shows_the_three_right_forms(fault, file, written):
    text = fault(f"a: {written}\n")

    assert "is no reference to an environment variable." in text
    assert f"at: {file}:1 (a)" in text
    assert "Write $NAME, ${NAME} or ${NAME:-default}" in text


@pytest.mark.parametrize(
    "text",
    ["a: [${N}]", "a: [1, ${N}]", "a: {x: ${N}}", "a: [\n  ${N},\n]", "a: [${N:-3}]"],
)
def test_a_braced_variable_inside_brackets_is_told_to_lose_its_braces(fault, text):
    assert "write $N there" in fault(text)


def test_the_collapsed_list_of_the_guide_shows_the_list_that_was_meant(fault, file):
    text = fault("params:\n  encoder_layers:\n    -1024\n    -256\n  lr: 0.1\n")

    assert text == (
        "The value '-1024 -256' runs over several lines.\n"
        f"  at: {file}:3 (params.encoder_layers)\n"
        "  A list needs a space after each dash:\n"
        "  encoder_layers:\n"
        "    - 1024\n"
        "    - 256"
    )


def test_the_collapsed_list_is_shown_also_where_it_begins_behind_its_key_and_in_windows_lines(fault):
    text = fault(b"layers: -1024\r\n  -256\r\n")

    assert text.endswith("A list needs a space after each dash:\n  layers:\n    - 1024\n    - 256")


@pytest.mark.parametrize(
    "text", ["a: one\n  two", "a:\n  one\n  two", "a: [one\n  two]", "a:\n  - one\n    two"]
)
def test_a_plain_value_over_several_lines_is_told_to_take_quotes(fault, text):
    message = fault(text)

    assert "The value 'one two' runs over several lines." in message
    assert "goes in quotes" in message


@pytest.mark.parametrize(
    ("text", "value"),
    [('a: "one\n  two"', "one two"), ("a: 'one\n  two'", "one two"), ("a: |\n  one\n  two", "one\ntwo")],
)
def test_text_over_several_lines_is_allowed_in_quotes_and_blocks(read, text, value):
    assert read(text).values == {"a": value}


def test_a_list_with_one_dash_too_close_is_placed_within_the_file(fault, file):
    text = fault("layers:\n  - 1024\n  -256\n")

    assert f"at: {file}:3" in text


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "a", 3),
        ('a: 1\n"a": 2\n', "a", 2),
        ("x: {a: 1, a: 2}\n", "x.a", 1),
        ("l:\n  - a: 1\n    a: 2\n", "l[0].a", 3),
    ],
)
def test_a_key_that_stands_twice_is_an_error_with_both_places(fault, file, text, key, line):
    message = fault(text)

    assert "The key 'a' stands twice in one mapping; first at " in message
    assert f"at: {file}:{line} ({key})" in message


def test_a_merged_key_is_no_duplicate_and_keeps_the_place_it_was_written_at(read, file):
    tree = read("base: &base\n  a: 1\n  c: 3\nx:\n  <<: *base\n  a: 2\n")

    assert tree.values["x"] == {"a": 2, "c": 3}
    assert tree.origins["x.a"] == f"{file}:6"
    assert tree.origins["x.c"] == f"{file}:3"


@pytest.mark.parametrize(
    ("merge", "merged"),
    [("[*one, *two]", {"a": 1, "b": 2}), ("[*two, *one]", {"a": 9, "b": 2}), ("*one", {"a": 1})],
)
def test_of_several_merged_mappings_the_first_wins(read, merge, merged):
    tree = read(f"one: &one {{a: 1}}\ntwo: &two {{a: 9, b: 2}}\nx:\n  <<: {merge}\n")

    assert tree.values["x"] == merged


@pytest.mark.parametrize("text", ["x:\n  <<: 1\n", "x:\n  <<: [1, 2]\n"])
def test_merging_what_is_no_mapping_is_an_error(fault, file, text):
    assert fault(text).startswith(f"<< merges mappings, and this is none.\n  at: {file}:2 (x)")


@pytest.mark.parametrize("text", ["x: &x\n  a: *x\n", "x: &x [*x]\n", "x: &x\n  <<: *x\n  a: 1\n"])
def test_an_alias_that_contains_itself_is_an_error(fault, file, text):
    message = fault(text)

    assert "An alias contains itself." in message
    assert f"at: {file}:" in message


def test_an_alias_used_twice_gives_values_of_their_own(read):
    tree = read("a: &layers [1, 2]\nb: *layers\n")

    assert tree.values["a"] == tree.values["b"]
    assert tree.values["a"] is not tree.values["b"]


@pytest.mark.parametrize("content", [b"", b"  \n", b"# only a comment\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_error_that_shows_what_an_empty_mapping_is(fault, file, content):
    assert fault(content) == f"{file} is empty.\n  at: {file}:1\n  A file without entries holds {{}}"


def test_a_file_that_says_it_has_no_entries_is_an_empty_mapping(read):
    assert read("{}").values == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [("- a\n", "a list"), ("[]", "a list"), ("T\n", "a single value"), ("null", "a single value")],
)
def test_a_file_that_holds_no_mapping_is_an_error(fault, file, text, found):
    message = fault(text)

    assert message.startswith(f"{file} holds {found}; a mapping of names to values is expected.")
    assert f"at: {file}:1" in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [1\n", 2),
        ("a: 1\nb: c: d\n", 2),
        ('a: "open\n', 1),
        ("a: @x\n", 1),
        ("a: *unknown\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("a: - 1\n", 1),
        ("a:\n  b: 1\n c: 2\n", 3),
    ],
)
def test_a_slip_of_syntax_names_the_line(fault, file, text, line):
    message = fault(text)

    assert message.startswith(f"{file} is not YAML: ")
    assert f"\n  at: {file}:{line}" in message


@pytest.mark.parametrize("text", ["\ta: 1", "a:\n\tb: 1", "a:\t1"])
def test_a_tab_is_named_as_the_reason(fault, text):
    assert "The line holds a tab; YAML is indented with spaces." in fault(text)


@pytest.mark.parametrize("content", [b"\0\0", b"a: \0", b"a: x\x07", b"PK\x03\x04"])
def test_a_file_with_characters_that_yaml_does_not_allow_is_an_error(fault, file, content):
    message = fault(content)

    assert message.startswith(f"{file} is not YAML: ")
    assert f"at: {file}" in message
    assert "<unicode string>" not in message


@pytest.mark.parametrize("content", [b"a: \xe9", b"\xff\xfea\0:\0 \x001\0"])
def test_a_file_that_is_not_utf_8_is_an_error(fault, file, content):
    assert fault(content) == f"{file} cannot be read: it is not UTF-8 text.\n  at: {file}"


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa: 1", b"a: 1\r\n", b"a: 1\n...\n", b"---\na: 1"])
def test_byte_order_marks_windows_lines_and_document_marks_are_no_obstacle(read, content):
    assert read(content).values == {"a": 1}


@pytest.mark.parametrize("key", ["1", "1.5", "1e-4", "null", "~"])
def test_a_key_that_is_no_text_is_told_to_take_quotes(fault, file, key):
    message = fault(f"x:\n  {key}: a\n")

    assert message == f'The key {key!r} is no text.\n  at: {file}:2 (x.{key})\n  Quote it: "{key}":'


def test_a_quoted_number_and_words_that_yaml_takes_for_booleans_are_names(read):
    assert read('"1": a\non: b\nno: c\n2024-01-01: d\n').values == {
        "1": "a",
        "on": "b",
        "no": "c",
        "2024-01-01": "d",
    }


@pytest.mark.parametrize("key", ["model.params", '"a.b"', "a."])
def test_a_key_with_a_dot_is_told_to_be_nested(fault, file, key):
    message = fault(f"{key}: 1\n")

    assert "holds a dot, which separates levels." in message
    assert f"at: {file}:1" in message
    assert "Write the levels as nested mappings" in message


@pytest.mark.parametrize("text", ["{N}: 1", "a: {{N}}", "? [a]\n: 1"])
def test_a_key_that_is_itself_a_mapping_or_a_list_is_an_error(fault, text):
    assert "A key must be text." in fault(text)


@pytest.mark.parametrize(
    "text", ["a: !!int 1", "a: !x 1", "a: !!python/object/apply:os.system [x]", "a: !x {b: 1}"]
)
def test_a_tag_is_refused_rather_than_ignored(fault, file, text):
    message = fault(text)

    assert "is not understood." in message
    assert f"at: {file}:1 (a)" in message


def test_a_string_tag_keeps_a_number_text(read):
    assert read("a: !!str 010\n").values == {"a": "010"}


def test_all_faults_of_a_file_come_together_in_the_order_of_the_file(fault, file):
    text = fault("a: $NO\nb:\n  one\n  two\nc: 1\nc: 2\nd.e: 1\nf: !x 1\n")

    assert text.startswith("5 faults were found.")
    places = [line.split(":")[-1] for line in text.splitlines() if line.startswith("  at: ")]
    assert places == ["1 (a)", "3 (b)", "6 (c)", "7 (d.e)", "8 (f)"]


def test_a_missing_file_names_the_files_beside_it(file):
    file.with_name("VAE.yml").write_text("a: 1")
    file.with_name("notes.txt").write_text("")
    wanted = file.with_name("VEA.yml")

    with pytest.raises(ConfigError) as caught:
        read_yaml(wanted, {})

    assert str(caught.value) == (
        f"There is no file {wanted}.\n"
        f"  at: {wanted}\n"
        f"  did you mean: {file.with_name('VAE.yml')}\n"
        f"  known: {file.with_name('VAE.yml')}"
    )


def test_a_missing_folder_is_no_crash(tmp_path):
    with pytest.raises(ConfigError, match="There is no file "):
        read_yaml(tmp_path / "no" / "such.yml", {})


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory\."):
        read_yaml(tmp_path, {})


def test_whatever_can_be_written_as_json_is_read_back_as_it_was(read):
    draw = random.Random(0)

    def tree(depth: int) -> object:
        kind = draw.randrange(8 if depth else 6)
        if kind == 6:
            return [tree(depth - 1) for _ in range(draw.randrange(4))]
        if kind == 7:
            return {name(): tree(depth - 1) for _ in range(draw.randrange(4))}
        return [
            None,
            True,
            draw.randrange(-9, 10**6),
            draw.uniform(-1, 1) * 10.0 ** draw.randrange(-9, 9),
            name(),
            "",
        ][kind]

    def name() -> str:
        return "".join(draw.choice("ab1_ -#:[]{}'\"\\éß\n,&*!|>%@`?=~") for _ in range(draw.randrange(1, 9)))

    for _ in range(150):
        values = {name(): tree(3) for _ in range(draw.randrange(1, 5))}
        # Behind the quotes of JSON any name is allowed, and any text is text.
        assert read(json.dumps(values, ensure_ascii=False)).values == values


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: 1\nlr:0.01\nb: 2\n", "A space is missing behind the colon in line 2: lr:0.01"),
        ("class Trainer\nparams:\n  a: 1\n", "Is a colon missing in line 1? class Trainer"),
    ],
)
def test_a_missing_space_or_colon_is_named_with_its_line(fault, text, hint):
    assert hint in fault(text)
