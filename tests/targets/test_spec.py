"""Targets: numbers with a source, faults named all at once."""

import dataclasses
import json
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.targets.spec import TargetSpec, load_target, target_from_dict, target_names

PLAIN = {"name", "title", "simulation_only", "check_only", "limits", "energy", "sources"}


def text_of(name: str) -> str:
    return (resources.files("neuroprivacy") / "targets" / f"{name}.toml").read_text()


def broken(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = text_of("loihi2")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", target_names())
def test_every_number_has_a_source_and_a_standing(name: str) -> None:
    spec = load_target(name)
    numbers = {field.name for field in dataclasses.fields(spec)} - PLAIN
    for group in ("limits", "energy"):
        values = dataclasses.asdict(getattr(spec, group))
        numbers |= {f"{group}.{key}" for key, value in values.items() if value is not None and key != "note"}
    assert spec.sources.keys() == numbers
    for source in spec.sources.values():
        assert source.standing in ("published", "secondary", "chosen")
        assert len(source.source) > 3
    assert spec.name == name
    assert spec.title


def test_energy_figures_say_what_they_leave_out() -> None:
    for name in target_names():
        assert load_target(name).energy.note


def test_the_numbers_of_loihi2() -> None:
    spec = load_target("loihi2")
    assert (spec.weight_range, spec.threshold_max, spec.membrane_range) == (
        (-128, 127),
        131071,
        (1 - 2**23, 2**23 - 1),
    )
    assert (spec.message_range, spec.edge_delay_min, spec.edge_delay_max) == ((0, 2**24 - 1), 1, 63)
    assert (spec.resets, load_target("loihi2-soft").resets) == (("hard",), ("hard", "soft"))
    rule = spec.rule
    assert (rule.activation_shift, rule.threshold_shift, rule.du_offset) == (6, 6, 1)
    assert (rule.keeps_current, rule.u_half, rule.threshold_test) == (True, 2**23, ">")


def test_the_numbers_of_int8() -> None:
    spec = load_target("int8")
    assert (spec.membrane_range, spec.message_range) == ((-(2**31), 2**31 - 1), (0, 255))
    assert (spec.rule.keeps_current, spec.rule.threshold_test, spec.threshold_per) == (False, ">=", "neuron")


def test_loihi2_soft_differs_from_loihi2_in_its_reset_alone() -> None:
    soft, stock = load_target("loihi2-soft").to_dict(), load_target("loihi2").to_dict()
    changed = {key for key in stock if stock[key] != soft[key]}
    assert changed == {"name", "title", "simulation_only", "resets", "sources"}
    assert {key for key in stock["sources"] if stock["sources"][key] != soft["sources"][key]} == {"resets"}


@pytest.mark.parametrize("name", target_names())
def test_a_target_survives_json(name: str) -> None:
    spec = load_target(name)
    again = target_from_dict(json.loads(json.dumps(spec.to_dict())), where="here")
    assert (again, again.to_dict()) == (spec, spec.to_dict())


def test_a_target_may_come_from_a_file(tmp_path: Path) -> None:
    spec = load_target(broken(tmp_path, ('name = "loihi2"', 'name = "mine"')))
    assert dataclasses.replace(spec, name="loihi2") == load_target("loihi2")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_target("loihi3")
    assert str(caught.value) == (
        f"target: no target is called 'loihi3'; choose one of {', '.join(target_names())}, or give a .toml file"
    )


def test_all_faults_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    path = broken(
        tmp_path,
        ("weight_bits = { value = 8, standing", "weight_bits = { value = 0, standing"),
        ("membrane_bits = { value = 24,", 'membrane_bits = { value = "many",'),
        ("du_offset = { value = 1, standing", "du_offset = { standing"),
        ('threshold_test = { value = ">"', 'threshold_test = { value = "=="'),
        ('cores = { value = 128, standing = "secondary"', 'cores = { value = 128, standing = "guessed"'),
        ("[limits]", "unheard_of = { value = 1, standing = 'chosen', source = 'me' }\n[limits]"),
        ("[energy]", "[energy]\nsecret_j = { value = 1e-12, standing = 'chosen', source = 'me' }"),
        ('decay_bits = { value = 12, standing = "published", source', "decay_bits = { value = 12, note"),
        ("neuron_update_j = { value = 81e-12,", "neuron_update_j = 81e-12 #"),
    )
    with pytest.raises(BadFile, match="is not a target description") as caught:
        load_target(path)
    for fault in (
        "weight_bits: Input should be greater than or equal to 1",
        "membrane_bits: Input should be a valid integer",
        "du_offset: lacks value",
        "du_offset: Field required",
        "threshold_test: Input should be '>' or '>='",
        "sources.limits.cores.standing: Input should be 'published', 'secondary' or 'chosen'",
        "unheard_of: Unexpected keyword argument",
        "energy.secret_j: Unexpected keyword argument",
        "decay_bits: lacks source, standing",
        "decay_bits: has unknown parts note",
        "energy.neuron_update_j: lacks source, standing",
    ):
        assert fault in str(caught.value)


def test_a_bare_number_is_refused(tmp_path: Path) -> None:
    path = broken(tmp_path, ("weight_bits = { value = 8,", "weight_bits = 8 #"))
    with pytest.raises(BadFile, match=r"description: weight_bits: lacks source, standing$"):
        load_target(path)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b"weight_bits = ", "is not valid TOML"), (b"\xff", "cannot be read"), (b"", "name: Field required")],
)
def test_a_file_that_is_no_target(payload: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(payload)
    with pytest.raises(BadFile, match=reason):
        load_target(tmp_path / "mine.toml")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"gone\.toml: cannot be read"):
        load_target(tmp_path / "gone.toml")


def test_a_group_that_is_no_table(tmp_path: Path) -> None:
    text = text_of("int8").replace("[limits]\n", "").replace("[energy]\n", "[energy_]\n")
    (tmp_path / "mine.toml").write_text("limits = 3\n" + text)
    with pytest.raises(BadFile, match="limits: lacks source, standing"):
        load_target(tmp_path / "mine.toml")


def test_a_target_is_frozen() -> None:
    spec: TargetSpec = load_target("int8")
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "mine"  # type: ignore[misc]


def test_the_shipped_files_are_toml_with_sources_in_the_text() -> None:
    for name in target_names():
        assert tomllib.loads(text_of(name))["name"] == name


def test_fields_that_came_later_are_left_out_where_they_say_nothing() -> None:
    """Programs were stored before these fields: their hashes must stay what they were."""
    values = load_target("loihi2").to_dict()
    assert "check_only" not in values
    assert values["limits"].keys() == {"cores", "neurons_per_core", "synapse_bits_per_core", "fan_in", "fan_out"}
    assert target_from_dict(values, where="here") == load_target("loihi2")


def test_targets_for_checking_alone() -> None:
    only = {name for name in target_names() if load_target(name).check_only}
    assert only == {"speck", "xylo"}
    loihi = load_target("loihi1").limits
    assert (loihi.cores, loihi.neurons_per_core, loihi.axons_in, loihi.axons_out) == (128, 1024, 4096, 4096)
    assert loihi.synapse_bits_per_core == 128 * 1024 * 8
    speck, xylo = load_target("speck").limits, load_target("xylo").limits
    assert (len(speck.kernel_bits_of_cores or ()), len(speck.neurons_of_cores or ())) == (9, 9)
    assert (xylo.inputs, xylo.hidden, xylo.outputs) == (16, 992, 32)
    assert load_target("xylo").to_dict()["check_only"] is True


def test_nothing_computes_with_a_target_for_checking_alone() -> None:
    with pytest.raises(ConfigurationError, match="speck is described for `target check` alone"):
        _ = load_target("speck").rule
