"""One time step of a torch module as layers and edges, found by tracing its forward with torch.fx.

Leaves of the trace are snnTorch's neurons and the layers of torch.nn and brevitas.nn. What travels along edges are
currents and spikes. The states of neurons (membranes, synaptic currents) may be passed in, returned and fed back, and
nothing else: a state that is computed with has no place in a graph of spikes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import snntorch
import torch
from torch import fx, nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.networks.fold import NORMS

Shape = tuple[int, ...]
#: Functions and methods of tensors that change no value.
_SAME = {"detach", "clone", "contiguous", "float", "double"}
_ADDS: tuple[Any, ...] = (operator.add, operator.iadd, torch.add)
_ZEROS: tuple[Any, ...] = (torch.zeros, torch.zeros_like)
_FLATTENS = {"flatten", "view", "reshape"}
#: Modules that do nothing to a network that is not being trained.
_PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A layer where it is used.

    Attributes:
        module: the layer.
        shape: of its input, without the batch.
        out: shape of its output.
    """

    module: nn.Module
    shape: Shape
    out: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """A module's one step: which layer reads which.

    Attributes:
        layers: by name, in the order in which they are computed.
        edges: (source, target); the input is `input`.
        outputs: layers whose signals the module returns. Returned spikes that lead on to a returned layer are fed back
            or recorded by whoever steps the module, and are left out.
    """

    layers: dict[str, Placed] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Signal:
    """Currents or spikes: the sum of what these layers send."""

    sources: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a neuron; `owner` is None if it was passed in or made of zeros."""

    owner: str | None


@dataclass(frozen=True, slots=True)
class _Fired:
    """What a neuron returns that returns its states, too."""

    spikes: _Signal
    owner: str


#: What stands for anything that is no tensor of the network: sizes, shapes, constants.
_OTHER = object()


def is_neuron(module: nn.Module) -> bool:
    """Whether a module is a neuron of snnTorch, whichever."""
    return isinstance(module, snntorch.SpikingNeuron)


def trace(module: nn.Module, input_shape: Shape, *, check: Callable[[str, nn.Module, Shape], None]) -> Wiring:
    """What reads what in one step of a module; the module is left as it was.

    Args:
        module: with a forward of one time step; its first argument is the input.
        input_shape: of the input, without the batch.
        check: is called with name, layer and input shape of each layer, and raises for one without a form.

    Raises:
        UnsupportedNode: the forward cannot be traced, or does what no graph of layers and edges says.
    """
    tracer = _Tracer()
    if tracer.is_leaf_module(module, "") or is_neuron(module):
        module = nn.Sequential(module)
    with _unchanged(module):
        try:
            graph = tracer.trace(module)
        except Exception as error:  # whatever a user's forward raises on tensors without values
            raise UnsupportedNode(
                f"{type(module).__name__}: its forward cannot be traced ({error}); give a module whose forward is one "
                "time step without conditions on values"
            ) from error
        constants = {node: _constant(module, node.target) for node in graph.nodes if node.op == "get_attr"}
    return _Walker(module, input_shape, check, constants).walk(graph)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Neurons and layers stay whole; containers and the user's own modules are looked into."""
        foreign = type(m).__module__.startswith(("snntorch.", "brevitas."))
        return is_neuron(m) or foreign or super().is_leaf_module(m, module_qualified_name)


@contextmanager
def _unchanged(module: nn.Module) -> Iterator[None]:
    """Take back what tracing leaves in the attributes of a module: states set to zero, stand-ins for tensors."""
    tables = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set")
    kept = [(part, dict(vars(part)), {t: vars(part)[t].copy() for t in tables}) for part in module.modules()]
    try:
        yield
    finally:
        for part, attributes, copies in kept:
            vars(part).clear()
            vars(part).update(attributes | copies)


def _constant(module: nn.Module, target: Any) -> Any:
    return operator.attrgetter(str(target))(module)


class _Walker:
    """Goes through the traced operations in order and keeps what each stands for."""

    def __init__(
        self,
        root: nn.Module,
        shape: Shape,
        check: Callable[[str, nn.Module, Shape], None],
        constants: Mapping[fx.Node, Any],
    ) -> None:
        self.root, self.shape, self.check, self.constants = root, shape, check, constants
        self.wiring = Wiring()
        self.values: dict[fx.Node, Any] = {}
        self.called: set[str] = set()

    def walk(self, graph: fx.Graph) -> Wiring:
        for node in graph.nodes:
            if node.op == "placeholder":
                first = not any(isinstance(value, _Signal) for value in self.values.values())
                self.values[node] = _Signal(("input",), self.shape) if first else _State(None)
            elif node.op == "get_attr":
                self.values[node] = _OTHER
            elif node.op == "call_module":
                self.values[node] = self._module(node)
            elif node.op == "output":
                self._output(node.args[0])
            else:
                self.values[node] = self._operation(node)
        return self.wiring

    def value(self, given: Any) -> Any:
        return self.values[given] if isinstance(given, fx.Node) else given

    def _module(self, node: fx.Node) -> Any:
        path = str(node.target)
        module = self.root.get_submodule(path)
        arguments = [*node.args, *node.kwargs.values()]
        signal = self._signal(path, self.value(arguments[0]) if arguments else None)
        if isinstance(module, _PASSING):
            return signal
        if is_neuron(module):
            if path in self.called:
                raise UnsupportedNode(
                    f"{path}: is called more than once in one forward; give a module whose forward is one time step, "
                    "and a neuron for each place"
                )
            self.called.add(path)
            for given in arguments[1:]:
                self._must_be_own_state(path, given)
        placed = self._place(path, module, signal)
        if is_neuron(module) and (module.output or not module.init_hidden):
            return _Fired(placed, path)
        return placed

    def _place(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        """A layer that reads a signal."""
        self.check(path, module, signal.shape)
        if isinstance(module, nn.Flatten) and len(signal.shape) == 1:
            return signal
        same = is_neuron(module) or isinstance(module, NORMS)  # whose states and statistics stay as they are
        out = signal.shape if same else _out_shape(path, module, signal.shape)
        stem = name = path.replace(".", "_")
        count = 1
        while name in self.wiring.layers or name in ("input", "output"):
            count += 1
            name = f"{stem}_{count}"
        self.wiring.layers[name] = Placed(module=module, shape=signal.shape, out=out)
        self.wiring.edges.extend((source, name) for source in signal.sources)
        return _Signal((name,), out)

    def _must_be_own_state(self, path: str, given: Any) -> None:
        """States that a neuron is called with: passed in, zeros, or none; the exporter starts at rest."""
        value = self.value(given)
        zeros = isinstance(given, fx.Node) and given.op == "call_function" and given.target in _ZEROS
        if value is None or zeros or (isinstance(value, _State) and value.owner is None):
            return
        constant = self.constants.get(given) if isinstance(given, fx.Node) else None
        if isinstance(constant, torch.Tensor):
            if not bool(constant.any()):
                return
            raise UnsupportedNode(f"{path}: starts from a state that is not zero; reset it before the export")
        raise UnsupportedNode(
            f"{path}: takes a state that is computed in the same step; pass its own state of the step before"
        )

    def _operation(self, node: fx.Node) -> Any:
        values = [self.value(argument) for argument in node.args]
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        if node.target is operator.getitem and isinstance(values[0], _Fired):
            fired, index = values
            if not isinstance(index, int):
                raise UnsupportedNode(f"{fired.owner}: its results are sliced; unpack them: spikes, membrane = ...")
            return fired.spikes if index == 0 else _State(fired.owner)
        inner = [*values, *(self.value(argument) for argument in node.kwargs.values())]
        if not any(isinstance(value, _Signal | _State | _Fired) for value in inner):
            return _OTHER
        if node.target in _ZEROS or name in ("size", "dim") or (name == "getattr" and values[1] in ("shape", "dtype")):
            return _OTHER
        if name in _SAME and len(inner) == 1 and not isinstance(values[0], _Fired):
            return values[0]
        if node.target in _ADDS or name in ("add", "add_"):
            if node.kwargs or len(values) != 2:
                raise UnsupportedNode(f"{node.name}: adds with a factor or in place; add plainly")
            return self._sum(node.name, values[0], values[1])
        if name in _FLATTENS and isinstance(values[0], _Signal):
            return self._flatten(node, values[0], values[1:])
        for value in inner:
            self._signal(f"{node.name} ({name})", value, optional=True)
        raise UnsupportedNode(
            f"{node.name}: the function {name} has no NIR form here; use a layer of torch.nn (Linear, Conv, AvgPool2d, "
            "Flatten), a sum, or leave it out"
        )

    def _sum(self, name: str, a: Any, b: Any) -> _Signal:
        left, right = self._signal(name, a), self._signal(name, b)
        if left.shape != right.shape:
            raise UnsupportedNode(f"{name}: adds shapes {left.shape} and {right.shape}; give both the same shape")
        if twice := sorted(set(left.sources) & set(right.sources)):
            raise UnsupportedNode(f"{name}: adds {twice[0]} twice; double the weights behind it")
        return _Signal(left.sources + right.sources, left.shape)

    def _flatten(self, node: fx.Node, signal: _Signal, sizes: list[Any]) -> _Signal:
        """A full flattening, however it is written."""
        size = math.prod(signal.shape)
        if node.target == "flatten" or node.target is torch.flatten:
            start = sizes[0] if sizes else node.kwargs.get("start_dim", 0)
            end = sizes[1] if len(sizes) > 1 else node.kwargs.get("end_dim", -1)
            whole = start == 1 and end in (-1, len(signal.shape))
        else:
            wanted = [s for given in sizes for s in (given if isinstance(given, list | tuple) else (given,))]
            whole = len(wanted) == 2 and wanted[1] in (-1, size)
        if not whole:
            raise UnsupportedNode(f"{node.name}: reshapes to something other than (batch, {size}); use nn.Flatten()")
        return self._place(node.name, nn.Flatten(), signal)

    def _signal(self, name: str, value: Any, *, optional: bool = False) -> _Signal:
        """A value that has to be currents or spikes."""
        if isinstance(value, _Fired):
            raise UnsupportedNode(
                f"{name}: reads {value.owner}, which returns its states, too; give that init_hidden=True and "
                "output=False, or unpack its results"
            )
        if isinstance(value, _State):
            whose = f"a state of {value.owner}" if value.owner else "an argument of the forward"
            raise UnsupportedNode(
                f"{name}: computes with {whose}; only spikes and currents of the first argument travel, and states "
                "may only be returned or passed back"
            )
        if not isinstance(value, _Signal) and not optional:
            raise UnsupportedNode(f"{name}: adds or reads a constant; put it into a bias")
        return value  # type: ignore[no-any-return]

    def _output(self, returned: Any) -> None:
        """The signals that the forward returns, however nested."""
        states: list[str] = []

        def visit(item: Any) -> None:
            if isinstance(item, list | tuple | dict):
                for part in item.values() if isinstance(item, dict) else item:
                    visit(part)
                return
            value = self.value(item)
            if isinstance(value, _Fired):
                value = value.spikes
            if isinstance(value, _State) and value.owner:
                states.append(value.owner)
            if isinstance(value, _Signal):
                outputs.extend(source for source in value.sources if source not in outputs)
                if len(value.sources) > 1:
                    raise UnsupportedNode("output: a sum is returned; put a layer behind it")

        outputs = self.wiring.outputs
        visit(returned)
        passed = {name for end in outputs for name in self._before(end)}
        outputs[:] = [name for name in outputs if name not in passed]
        if "input" in outputs:
            raise UnsupportedNode("output: the input is returned; put neurons between")
        if not outputs and states:
            raise UnsupportedNode(f"{states[-1]}: only its state is returned; return its spikes, or end in a Linear")
        if not outputs:
            raise UnsupportedNode("output: the forward returns neither spikes nor currents")

    def _before(self, end: str) -> set[str]:
        """The layers that lead to a layer."""
        found: set[str] = set()
        waiting = [end]
        while waiting:
            target = waiting.pop()
            sources = {source for source, other in self.wiring.edges if other == target} - found
            found |= sources
            waiting += sources
        return found


def _out_shape(name: str, module: nn.Module, shape: Shape) -> Shape:
    """The shape that a layer without state makes of a shape."""
    like = next(module.parameters(), torch.zeros(0))
    try:
        with torch.no_grad():
            found = module(torch.zeros(1, *shape, dtype=like.dtype, device=like.device))
    except (RuntimeError, ValueError) as error:
        raise UnsupportedNode(
            f"{name}: does not take values of shape {shape} ({error}); give the input_shape that the network expects"
        ) from error
    return tuple(int(n) for n in found.shape[1:])
