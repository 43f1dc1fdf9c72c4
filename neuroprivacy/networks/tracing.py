"""A torch module as a layer graph: its forward traced by torch.fx, batch norm folded, dropout left out.

ANNs and modules of snnTorch neurons take this one way. Leaves of the trace are the layers of torch.nn and brevitas.nn,
and the neurons of snnTorch; a module with neurons is one time step. Along edges go values, currents or spikes. States
of neurons may be passed in, returned and fed back, and nothing else: a graph of layers has no place for computing with
them.

torch.fx's own shape propagation executes the traced graph, which a forward that is passed states does not allow; so
each layer is run on zeros as it is met.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.networks.fold import fold_norms
from neuroprivacy.networks.layer_graph import RESERVED, Kind, LayerGraph, Node, Shape
from neuroprivacy.networks.layers import PASSING, SignedInput, first_line, output_shape, plain_name, remedy, supported

_SIZES = {"size", "dim", "numel"}
_ADDS = {"add", "iadd"}
_FLATTENS = {"flatten", "view", "reshape"}
_ZEROS: tuple[Any, ...] = (torch.zeros, torch.zeros_like)


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a neuron; `owner` is None if it was passed in or made of zeros."""

    owner: str | None


@dataclass(frozen=True, slots=True)
class _Fired:
    """What a neuron returns that returns its states, too: the node of its spikes, and its name."""

    spikes: str
    owner: str


#: Stands for what is no tensor of the network: sizes, shapes, constants.
_OTHER = object()


def is_neuron(module: nn.Module) -> bool:
    """Whether a module is a neuron of snnTorch, whichever."""
    import snntorch

    return isinstance(module, snntorch.SpikingNeuron)


def trace_layers(module: nn.Module, *, input_shape: Shape) -> LayerGraph:
    """A module's forward as a layer graph, batch norm folded; the module is left as it was.

    Args:
        module: with a forward that torch.fx can trace, taken as in eval mode; its first argument is the input.
        input_shape: of one sample (of one time step), without the batch.

    Returns:
        Nodes named as the module's layers, dots as underscores. Returned values of nodes that lead to another returned
        value are no outputs: whoever steps the module feeds them back or records them.

    Raises:
        UnsupportedNode: the forward cannot be traced, or a layer or function of it has no spiking form.
    """
    tracer = _Tracer()
    root = nn.Sequential(module) if tracer.is_leaf_module(module, "") else module
    with _unchanged(root):
        root.eval()
        try:
            graph = tracer.trace(root)
        except Exception as error:  # whatever a user's forward raises on tensors without values
            raise UnsupportedNode(
                f"{type(module).__name__}: its forward cannot be traced ({first_line(error)}{_place(error)}); write it "
                "without loops over tensors and conditions on values"
            ) from error
        constants = {n: operator.attrgetter(str(n.target))(root) for n in graph.nodes if n.op == "get_attr"}
        found = _Walker(root, input_shape, constants).walk(graph)
    return fold_norms(found.needed())


class _Tracer(fx.Tracer):
    """Keeps the lines of the forward, for refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Layers and neurons stay whole; containers and the user's own modules are looked into."""
        foreign = type(m).__module__.startswith(("snntorch.", "brevitas."))
        return foreign or isinstance(m, SignedInput) or is_neuron(m) or super().is_leaf_module(m, module_qualified_name)


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


class _Walker:
    """Goes through the traced operations in order; a value is the name of a node, or one of the stand-ins above."""

    def __init__(self, root: nn.Module, shape: Shape, constants: Mapping[fx.Node, Any]) -> None:
        self.root, self.shape, self.constants = root, shape, constants
        self.spiking = any(is_neuron(part) for part in root.modules())
        self.nodes: dict[str, Node] = {}
        self.modules: dict[str, nn.Module] = {}
        self.values: dict[fx.Node, Any] = {}
        self.called: set[str] = set()

    def walk(self, graph: fx.Graph) -> LayerGraph:
        outputs: tuple[str, ...] = ()
        for node in graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._argument(node)
            elif node.op == "get_attr":
                self.values[node] = _OTHER
            elif node.op == "call_module":
                self.values[node] = self._module(node)
            elif node.op == "output":
                outputs = self._outputs(node.args[0])
            else:
                self.values[node] = self._operation(node)
        return LayerGraph(nodes=tuple(self.nodes.values()), modules=self.modules, outputs=outputs)

    def value(self, given: Any) -> Any:
        return self.values[given] if isinstance(given, fx.Node) else given

    def _argument(self, node: fx.Node) -> Any:
        if not self.nodes:
            return self._node("input", "input", (), self.shape)
        if not self.spiking and not node.args:
            raise UnsupportedNode(f"{node.target}: is a second input; give a module that takes one tensor")
        return _State(None)

    def _node(self, wanted: str, kind: Kind, sources: tuple[str, ...], shape: Shape) -> str:
        stem = name = wanted.replace(".", "_")
        count = 1
        while name in self.nodes or name in RESERVED or (name in ("input", "output") and kind != "input"):
            count += 1
            name = f"{stem}_{count}"
        self.nodes[name] = Node(name=name, kind=kind, sources=sources, shape=shape)
        return name

    def _source(self, where: str, asked: Any, node: fx.Node) -> str:
        """The node whose values an operation reads."""
        value = self.value(asked)
        if isinstance(value, _Fired):
            raise UnsupportedNode(
                f"{where}: reads {value.owner}, which returns its states, too; give that init_hidden=True and "
                "output=False, or unpack its results"
            )
        if isinstance(value, _State):
            whose = f"a state of {value.owner}" if value.owner else "an argument of the forward"
            raise UnsupportedNode(
                f"{where}: computes with {whose}; only spikes and currents of the first argument travel, and states "
                "may only be returned or passed back"
            )
        if not isinstance(value, str) or not isinstance(asked, fx.Node):
            raise UnsupportedNode(f"{where}: takes a constant{_line(node)}; put it into the weights or a bias")
        return value

    def _module(self, node: fx.Node) -> Any:
        path = str(node.target)
        module = self.root.get_submodule(path)
        arguments = [*node.args, *node.kwargs.values()]
        source = self._source(path, arguments[0] if arguments else None, node)
        if not is_neuron(module):
            return self._layer(path, module, source)
        if path in self.called:
            raise UnsupportedNode(
                f"{path}: is called more than once in one forward; give a module whose forward is one time step, "
                "and a neuron for each place"
            )
        self.called.add(path)
        for given in arguments[1:]:
            self._must_be_own_state(path, given)
        name = self._node(path, "neuron", (source,), self.nodes[source].shape)
        self.modules[name] = module
        states: Any = module
        return _Fired(name, path) if states.output or not states.init_hidden else name

    def _must_be_own_state(self, path: str, given: Any) -> None:
        """States that a neuron is called with: passed in, zeros, or none; the network starts at rest."""
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

    def _layer(self, where: str, module: nn.Module, source: str) -> str:
        kind, shape = type(module).__name__, self.nodes[source].shape
        if plain_name(kind) in PASSING:
            return source
        if isinstance(module, nn.ReLU) or kind == "QuantReLU":
            return self._node(where, "relu", (source,), shape)
        layer = supported(where, module, shape)
        if isinstance(layer, nn.Flatten) and len(shape) == 1:
            return source
        name = self._node(where, "layer", (source,), output_shape(where, layer, shape))
        self.modules[name] = layer
        return name

    def _operation(self, node: fx.Node) -> Any:
        """A function, or a method of a tensor."""
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        plain = plain_name(name)
        given = [self.value(argument) for argument in (*node.args, *node.kwargs.values())]
        if node.target is operator.getitem and isinstance(given[0], _Fired):
            fired, index = given
            if not isinstance(index, int):
                raise UnsupportedNode(f"{fired.owner}: its results are sliced; unpack them: spikes, membrane = ...")
            return fired.spikes if index == 0 else _State(fired.owner)
        known = any(isinstance(self.values[argument], str | _State | _Fired) for argument in node.all_input_nodes)
        if not known or node.target in _ZEROS or plain in _SIZES:
            return _OTHER
        if plain == "getattr" and given[1] in ("shape", "dtype", "device"):
            return _OTHER
        if plain in _ADDS:
            return self._sum(node)
        if plain in PASSING and isinstance(given[0], str | _State):
            return given[0]
        if plain == "relu":
            source = self._source(name, node.args[0], node)
            return self._node("relu", "relu", (source,), self.nodes[source].shape)
        if plain in _FLATTENS:
            return self._flatten(node, plain, given)
        if node.target in (nn.functional.avg_pool2d, nn.functional.adaptive_avg_pool2d):
            layer = nn.AvgPool2d if plain == "avgpool2d" else nn.AdaptiveAvgPool2d
            return self._layer(plain, layer(*node.args[1:], **node.kwargs), self._source(name, node.args[0], node))  # type: ignore[arg-type]
        for argument in node.all_input_nodes:
            if isinstance(self.values[argument], _State | _Fired):
                self._source(name, argument, node)
        raise UnsupportedNode(f"{name}: has no spiking form{_line(node)}; {remedy(plain)}")

    def _sum(self, node: fx.Node) -> str:
        if len(node.args) != 2 or node.kwargs:
            raise UnsupportedNode(f"{node.name}: adds with a factor{_line(node)}; put it into the weights")
        sources = (self._source(node.name, node.args[0], node), self._source(node.name, node.args[1], node))
        one, other = (self.nodes[source].shape for source in sources)
        if one != other:
            raise UnsupportedNode(f"{node.name}: adds shapes {one} and {other}{_line(node)}; give both the same shape")
        return self._node(node.name, "add", sources, one)

    def _flatten(self, node: fx.Node, plain: str, given: list[Any]) -> str:
        """A flattening of all but the batch, however it is written."""
        source = self._source(node.name, node.args[0], node)
        size, axes = math.prod(self.nodes[source].shape), len(self.nodes[source].shape)
        if plain == "flatten":
            start = given[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
            end = given[2] if len(node.args) > 2 else node.kwargs.get("end_dim", -1)
            whole = start == 1 and end in (-1, axes)
        else:
            wanted = [self.value(s) for g in given[1:] for s in (g if isinstance(g, list | tuple) else (g,))]
            whole = len(wanted) == 2 and wanted[1] in (-1, size)
            whole = whole and (wanted[0] is _OTHER or wanted[1] == size or self.spiking)
        if not whole:
            raise UnsupportedNode(
                f"{node.name}: reshapes to something other than (batch, {size}){_line(node)}; use nn.Flatten()"
            )
        return self._layer(plain, nn.Flatten(), source)

    def _outputs(self, returned: Any) -> tuple[str, ...]:
        """The values that the forward returns, however nested, without those that lead to another of them."""
        states: list[str] = []
        found: list[str] = []

        def visit(item: Any) -> None:
            """One returned value, or those within it."""
            if isinstance(item, list | tuple | dict):
                for part in item.values() if isinstance(item, dict) else item:
                    visit(part)
            elif isinstance(item, fx.Node):
                value = self.values[item]
                name = value.spikes if isinstance(value, _Fired) else value
                if isinstance(name, _State) and name.owner:
                    states.append(name.owner)
                elif isinstance(name, str) and name not in found:
                    found.append(name)

        visit(returned)
        if not found and states:
            raise UnsupportedNode(f"{states[-1]}: only its state is returned; return its spikes, or end in a Linear")
        if not self.spiking and len(found) != 1:
            raise UnsupportedNode("output: the forward returns several values or none; return one tensor")
        if not found:
            raise UnsupportedNode("output: the forward returns neither spikes nor currents")
        passed = {name for end in found for name in self._before(end)}
        outputs = tuple(name for name in found if name not in passed)
        if "input" in outputs:
            raise UnsupportedNode("output: the input is returned; put layers and neurons between")
        if any("input" not in self._before(name) for name in outputs):
            raise UnsupportedNode("output: does not depend on the input")
        return outputs

    def _before(self, end: str) -> set[str]:
        """The nodes that lead to a node."""
        found: set[str] = set()
        waiting = [end]
        while waiting:
            sources = set(self.nodes[waiting.pop()].sources) - found
            found |= sources
            waiting += sources
        return found


def _line(node: fx.Node) -> str:
    """The line of the user's code that an operation stands in, as the end of a sentence."""
    lines = [line.strip() for line in (node.stack_trace or "").splitlines()]
    for at, line in enumerate(lines):
        if line.startswith("File ") and "/torch/" not in line:
            number = line.split(", line ")[-1].split(",")[0]
            code = lines[at + 1] if at + 1 < len(lines) and not lines[at + 1].startswith("File ") else ""
            return f" (line {number}{f': {code}' if code else ''})"
    return ""


def _place(error: BaseException) -> str:
    """The last line of the user's own code that an error passed through."""
    found, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name == "forward" and "/torch/" not in code.co_filename:
            found = f", line {trace.tb_lineno} of the file of its forward"
        trace = trace.tb_next
    return found
