"""Seeded faults of the reference; the hand-made cases must detect each.

A mutant is the reference with one expression changed in its source. It is compiled into fresh modules, together with
everything that depends on it; the real modules, and `sys.modules`, stay as they are. A mutant
that survives breaks a rule that no case tests.
"""

# ruff: noqa: E501 - quoted source stays on one line.

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import ModuleType
from typing import Any

from neuroprivacy.runtime.backend import Record, RunResult
from neuroprivacy.runtime.compare import compare
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.testing.case import Case
from neuroprivacy.testing.conformance import case_inputs, expectation_faults
from neuroprivacy.testing.hand_made import hand_made_cases

#: What is compiled anew for a mutant, in the order in which the parts need each other: file -> module.
SOURCES = {
    "kernels/formats.py": "neuroprivacy.kernels.formats",
    "kernels/neuron.py": "neuroprivacy.kernels.neuron",
    "kernels/linear.py": "neuroprivacy.kernels.linear",
    "kernels/__init__.py": "neuroprivacy.kernels",
    "runtime/reference.py": "neuroprivacy.runtime.reference",
}
_ALL = Record(spikes=True, final=True, states=True)
Runner = Callable[..., RunResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One seeded fault.

    Attributes:
        name: what is wrong, in snake_case.
        file: one of SOURCES.
        old: text that occurs exactly once in that file.
        new: what stands there instead.
    """

    name: str
    file: str
    old: str
    new: str


def kill(mutant: Mutant) -> str | None:
    """The hand-made case that tells a mutant from the reference; None if it survives.

    A mutant that cannot join its arrays any more (ValueError) or reads beyond one (IndexError) is found, too.
    """
    run = mutated_reference(mutant)
    for case, inputs, truth in _truths():
        try:
            got = run(case.program, inputs, record=_ALL)
        except (ValueError, IndexError):
            return case.name
        if any(expectation_faults(case, got)) or compare(truth, got):
            return case.name
    return None


def mutated_reference(mutant: Mutant) -> Runner:
    """`run_reference` with the fault in it.

    Raises:
        ValueError: the mutant's old text does not occur exactly once.
    """
    fresh: dict[str, ModuleType] = {}
    for file, name in SOURCES.items():
        text = source_text(file)
        if file == mutant.file:
            if text.count(mutant.old) != 1:
                raise ValueError(f"mutant {mutant.name}: its text occurs {text.count(mutant.old)} times in {file}")
            text = text.replace(mutant.old, mutant.new)
        fresh[name] = _compile(name, text, fresh)
    run: Runner = fresh["neuroprivacy.runtime.reference"].run_reference
    return run


def source_text(file: str) -> str:
    """The source of one of SOURCES."""
    return (resources.files("neuroprivacy") / file).read_text(encoding="utf-8")


def _compile(name: str, text: str, fresh: dict[str, ModuleType]) -> ModuleType:
    """A module from source, whose imports see the modules in `fresh` before the real ones."""

    def importer(wanted: str, *arguments: Any) -> Any:
        """What `import` does inside the module."""
        return fresh[wanted] if wanted in fresh else builtins.__import__(wanted, *arguments)

    module = ModuleType(name)
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": importer}
    exec(compile(text, f"<mutant of {name}>", "exec", dont_inherit=True), module.__dict__)
    return module


@cache
def _truths() -> tuple[tuple[Case, dict[str, Any], RunResult], ...]:
    """Every hand-made case with its input and what the reference makes of it."""
    found = []
    for case in hand_made_cases():
        inputs = case_inputs(case)
        found.append((case, inputs, run_reference(case.program, inputs, record=_ALL)))
    return tuple(found)


def _many(file: str, *faults: tuple[str, str, str]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name=name, file=file, old=old, new=new) for name, old, new in faults)


_FIRE = """        before, saturated = integrate_membrane(self.v[name], u, dv=layer.dv, bias=layer.bias, rule=rule)
        spikes, v = fire_and_reset(before, threshold=layer.threshold, reset=layer.reset, fires=layer.fires, rule=rule)
"""
_FIRE_EARLY = """        spikes, v = fire_and_reset(
            self.v[name], threshold=layer.threshold, reset=layer.reset, fires=layer.fires, rule=rule
        )
        before, saturated = integrate_membrane(v, u, dv=layer.dv, bias=layer.bias, rule=rule)
        v = before
"""
_FIRE_BEFORE_BIAS = """        free, saturated = integrate_membrane(self.v[name], u, dv=layer.dv, bias=0, rule=rule)
        spikes, v = fire_and_reset(
            free, threshold=layer.threshold, reset=layer.reset, fires=layer.fires, rule=rule
        )
        before, v = free + layer.bias, v + layer.bias
"""
_SATURATE_LATE = """        from neuroprivacy.kernels import decay, saturate
        before = decay(self.v[name], by=layer.dv) + u + layer.bias
        spikes, free = fire_and_reset(
            before, threshold=layer.threshold, reset=layer.reset, fires=layer.fires, rule=rule
        )
        v = saturate(free, lowest=rule.v_lowest, highest=rule.v_highest)
        saturated = (v != free).astype(np.int64)
"""
_WRAP = "np.where(value > half, value - 2 * half, np.where(value <= -half, value + 2 * half, value))"
_TOWARD_ZERO = "np.sign(product) * (np.abs(product) >> DECAY_BITS)"
_U_DECAY = "decay(u, by=np.asarray(du, np.int64) + rule.du_offset) + incoming"
_MEMBRANE = "decay(v, by=dv) + u + bias"
_SOFT = 'v - theta if reset == "soft" else 0'
_PAD = "np.pad(x, ((0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1])))"
_KERNELS = "weight.reshape(groups, out_channels // groups, in_per_group, kernel_rows, kernel_columns)"
_POOL_SUM = """            total += x[:, :, i : i + stride[0] * rows : stride[0], j : j + stride[1] * columns : stride[1]][
                :, :, :rows, :columns
            ]
"""
_POOL_MAX = f"""            total = np.maximum(total, {_POOL_SUM.strip().removeprefix("total += ")})
"""

MUTANTS: tuple[Mutant, ...] = (
    *_many(
        "kernels/formats.py",
        ("wraps_at_half", "value > half, value - 2", "value >= half, value - 2"),
        ("wraps_below_minus_half_only", "value <= -half, value + 2", "value < -half, value + 2"),
        ("wraps_modulo", _WRAP, "(value + half - 1) % (2 * half) - half + 1"),
        ("wraps_twice", "value - 2 * half, np", "value - 4 * half, np"),
        ("wraps_not_at_all", _WRAP, "value"),
        ("saturates_the_current", _WRAP, "np.clip(value, -half, half)"),
        ("wraps_the_membrane", "np.clip(value, lowest, highest)\n", "(value - lowest) % (highest - lowest + 1) + lowest\n"),
        ("saturates_above_only", "np.clip(value, lowest, highest)\n", "np.minimum(value, highest)\n"),
        ("saturates_below_only", "np.clip(value, lowest, highest)\n", "np.maximum(value, lowest)\n"),
        ("saturates_one_too_low", "np.clip(value, lowest, highest)\n", "np.clip(value, lowest - 1, highest)\n"),
    ),
    *_many(
        "kernels/neuron.py",
        ("floors_the_decay", _TOWARD_ZERO, "product >> DECAY_BITS"),
        ("floors_the_decay_of_u", _U_DECAY,
         "((u * (DECAY_ONE - np.asarray(du, np.int64) - rule.du_offset)) >> DECAY_BITS) + incoming"),
        ("floors_the_decay_of_v", _MEMBRANE, "((v * (DECAY_ONE - np.asarray(dv, np.int64))) >> DECAY_BITS) + u + bias"),
        ("rounds_the_decay", _TOWARD_ZERO, "(product + (1 << DECAY_BITS - 1)) >> DECAY_BITS"),
        ("no_offset_on_du", "np.asarray(du, np.int64) + rule.du_offset", "np.asarray(du, np.int64)"),
        ("offset_on_dv", _MEMBRANE, "decay(v, by=dv + rule.du_offset) + u + bias"),
        ("decays_u_after_adding", _U_DECAY, "decay(u + incoming, by=np.asarray(du, np.int64) + rule.du_offset)"),
        ("decays_v_after_adding", _MEMBRANE, "decay(v + u + bias, by=dv)"),
        ("decays_v_after_adding_u", _MEMBRANE, "decay(v + u, by=dv) + bias"),
        ("no_bias", _MEMBRANE, "decay(v, by=dv) + u"),
        ("no_activation_shift", "activation << rule.activation_shift", "activation"),
        ("no_threshold_shift", "threshold << rule.threshold_shift", "threshold"),
        ("keeps_a_current_always", "if not rule.keeps_current:", "if False:"),
        ("keeps_no_current", "if not rule.keeps_current:", "if True:"),
        ("fires_at_equality_always", 'if test == ">" else v >= theta', 'if False else v >= theta'),
        ("fires_above_only_always", 'if test == ">" else v >= theta', "if True else v >= theta"),
        ("fires_by_size", "v > theta if", "np.abs(v) > theta if"),
        ("soft_reset_to_zero", _SOFT, "0"),
        ("hard_reset_subtracts", _SOFT, "v - theta"),
        ("soft_reset_subtracts_all_it_can", _SOFT, 'v % np.maximum(theta, 1) if reset == "soft" else 0'),
        ("soft_reset_subtracts_the_mantissa", _SOFT, 'v - threshold if reset == "soft" else 0'),
        ("does_not_reset", f"np.where(fired, {_SOFT}, v)", "v"),
        ("silent_layers_fire", "if not fires:", "if False:"),
    ),
    *_many(
        "kernels/linear.py",
        ("transposed_dense", "x @ weight.T",
         "x @ (weight if weight.shape[0] == weight.shape[1] else weight.reshape(weight.T.shape))"),
        ("clears_the_lowest_bit_of_dense", "x @ weight.T", "x @ (weight >> 1 << 1).T"),
        ("flipped_kernels", _KERNELS, _KERNELS + "[..., ::-1, ::-1]"),
        ("flipped_kernel_rows", _KERNELS, _KERNELS + "[..., ::-1, :]"),
        ("transposed_kernels", "by_position[i, j], flat", "by_position[j % kernel_rows, i % kernel_columns], flat"),
        ("pads_before_only", _PAD, "np.pad(x, ((0, 0), (0, 0), (2 * padding[0], 0), (2 * padding[1], 0)))"),
        ("pads_after_only", _PAD, "np.pad(x, ((0, 0), (0, 0), (0, 2 * padding[0]), (0, 2 * padding[1])))"),
        ("pads_with_the_border", _PAD, _PAD[:-1] + ', mode="edge")'),
        ("strides_swapped", ":: stride[0], :: stride[1]]", ":: stride[1], :: stride[0]]"),
        ("dilation_ignored", "windows[..., :: dilation[0], :: dilation[1]]", "windows[..., : kernel[0], : kernel[1]]"),
        ("dilation_of_rows_only", "windows[..., :: dilation[0], :: dilation[1]]",
         "windows[..., :: dilation[0], : kernel[1]]"),
        ("groups_interleaved", _KERNELS,
         "weight.reshape(out_channels // groups, groups, in_per_group, kernel_rows, kernel_columns).swapaxes(0, 1)"),
        ("group_channels_interleaved", "reshape(samples, groups, in_per_group, rows * columns)",
         "reshape(samples, in_per_group, groups, rows * columns).swapaxes(1, 2)"),
        ("pool_takes_the_maximum", _POOL_SUM, _POOL_MAX),
        ("pool_takes_the_mean", "            ]\n    return total\n",
         "            ]\n    return total // (kernel[0] * kernel[1])\n"),
        ("pool_strides_swapped", "def sum_pool(x: NDArray[Number], *, kernel: Pair, stride: Pair) -> NDArray[Number]:\n",
         "def sum_pool(x: NDArray[Number], *, kernel: Pair, stride: Pair) -> NDArray[Number]:\n    stride = stride[::-1]\n"),
        ("pool_kernel_swapped", "for i in range(kernel[0]):", "for i in range(kernel[1]):"),
        ("pool_windows_do_not_overlap", "def sum_pool(x: NDArray[Number], *, kernel: Pair, stride: Pair) -> NDArray[Number]:\n",
         "def sum_pool(x: NDArray[Number], *, kernel: Pair, stride: Pair) -> NDArray[Number]:\n    kernel = stride\n"),
    ),
    *_many(
        "runtime/reference.py",
        ("no_pool", "pooled = sum_pool(image, kernel=linear.pool, stride=linear.pool_stride)",
         "pooled = image[:, :, : linear.pooled_shape[1], : linear.pooled_shape[2]]"),
        ("one_step_more_delay", "self.past[edge.source][edge.delay]",
         "self.past[edge.source][min(edge.delay + 1, len(self.past[edge.source]) - 1)]"),
        ("one_step_less_delay", "self.past[edge.source][edge.delay]", "self.past[edge.source][max(edge.delay - 1, 0)]"),
        ("delays_are_all_one", "self.past[edge.source][edge.delay]", "self.past[edge.source][min(edge.delay, 1)]"),
        ("last_edge_only", "activation = activation + apply_map", "activation = apply_map"),
        ("graded_input_becomes_spikes", "apply_map(edge.map, self.past[edge.source][edge.delay])",
         "apply_map(edge.map, np.sign(self.past[edge.source][edge.delay]))"),
        ("tests_before_integrating", _FIRE, _FIRE_EARLY),
        ("bias_after_the_test", _FIRE, _FIRE_BEFORE_BIAS),
        ("bias_into_u", "activation, du=layer.du, rule=rule)", "activation + layer.bias, du=layer.du, rule=rule)"),
        ("bias_without_exponent", "bias=layer.bias,", "bias=layer.bias_mantissa,"),
        ("du_for_dv", "dv=layer.dv", "dv=layer.du"),
        ("dv_for_du", "du=layer.du", "du=layer.dv"),
        ("decay_of_the_first_neuron_for_all", "dv=layer.dv", "dv=layer.dv[:1]"),
        ("threshold_of_the_first_neuron_for_all", "threshold=layer.threshold,", "threshold=layer.threshold[:1],"),
        ("resets_the_current", "self.u[name], self.v[name] = u, v", "self.u[name], self.v[name] = u * (1 - spikes), v"),
        ("no_initial_membrane", "np.tile(layer.v_init, (samples, 1))", "np.zeros((samples, layer.size), np.int64)"),
        ("initial_membrane_shifted", "np.tile(layer.v_init, (samples, 1))",
         "np.tile(layer.v_init << self.program.target.threshold_shift, (samples, 1))"),
        ("no_initial_current", "np.tile(layer.u_init, (samples, 1))", "np.zeros((samples, layer.size), np.int64)"),
        ("outputs_share_a_window", "program.window(n, given)", "program.window(program.outputs[0], given)"),
        ("every_reset_hard", "reset=layer.reset", 'reset="hard"'),
        ("samples_share_a_membrane", "self.u[name], self.v[name] = u, v",
         "self.u[name], self.v[name] = u, np.broadcast_to(v[:1], v.shape)"),
        ("window_without_latency", "fired[n][:, program.window(n, given)]", "fired[n][:, :given]"),
        ("input_goes_on_after_the_end", "spikes[p.name][:, t] if t < given else np", "spikes[p.name][:, min(t, given - 1)] if True else np"),
        ("membrane_readout_of_counts", 'if program.readout == "membrane" else', 'if False else'),
        ("saturates_after_the_reset", _FIRE, _SATURATE_LATE),
        ("reads_images_channels_last", "x.reshape(-1, *linear.in_shape)",
         "x.reshape(-1, *linear.in_shape[1:], linear.in_shape[0]).transpose(0, 3, 1, 2)"),
        ("numbers_neurons_channels_last", "result.reshape(len(x), -1)", "result.transpose(0, 2, 3, 1).reshape(len(x), -1)"),
    ),
)  # fmt: skip
