"""A user's ANN as steps: its forward traced by torch.fx, batch norm folded, dropout left out.

Taken are Linear, Conv1d, Conv2d, BatchNorm, ReLU, Dropout, average pools, Flatten (or a view to one axis), Identity and
sums. All else is refused by name, with what to put in its place.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from neuroprivacy.core.errors import UnsupportedNode
from neuroprivacy.networks import Step
from neuroprivacy.networks.fold import NORMS, WEIGHTED, Weighted, folded, plain_copy

Shape = tuple[int, ...]
_PASSING = {
    "identity", "quantidentity", "dropout", "dropout1d", "dropout2d", "dropout3d", "alphadropout",
    "featurealphadropout", "contiguous", "clone", "detach", "float", "double",
}  # fmt: skip
_SIZES = {"size", "dim", "numel"}
_ADDS = {"add", "iadd"}
_FLATTENS = {"flatten", "view", "reshape"}
#: A layer's or function's name, without underscores and in small letters, and without 1d, 2d, 3d -> what to do.
_REMEDIES = {
    **dict.fromkeys(
        ("maxpool", "adaptivemaxpool", "fractionalmaxpool", "lppool", "max", "amax"),
        "replace max pooling by average pooling and retrain",
    ),
    **dict.fromkeys(("softmax", "logsoftmax"), "leave it out: the largest output stays the largest"),
    **dict.fromkeys(
        (
            "sigmoid", "logsigmoid", "hardsigmoid", "tanh", "hardtanh", "tanhshrink", "gelu", "silu", "hardswish",
            "mish", "elu", "selu", "celu", "relu6", "leakyrelu", "prelu", "rrelu", "glu", "softplus", "threshold",
        ),
        "replace it by ReLU and retrain",
    ),
    **dict.fromkeys(
        ("layernorm", "groupnorm", "instancenorm", "localresponsenorm", "normalize"),
        "replace it by batch norm, which is folded into the weights, and retrain",
    ),
    **dict.fromkeys(("cat", "concat", "stack", "hstack"), "add the branches instead of joining them, and retrain"),
    **dict.fromkeys(
        ("linear", "conv", "batchnorm"), "use the layer of torch.nn in place of the function"
    ),
    **dict.fromkeys(("mean", "avgpool", "adaptiveavgpool"), "use nn.AvgPool2d or nn.AdaptiveAvgPool2d"),
    **dict.fromkeys(("mul", "imul", "truediv", "div"), "put the factor into the weights of a layer beside it"),
    **dict.fromkeys(("sub", "isub", "neg"), "change the sign of a layer's weights and add"),
}  # fmt: skip
_REMEDY = "replace it by Linear, Conv, BatchNorm, ReLU, AvgPool2d, Flatten or a sum, and retrain"
#: Stands for what is no tensor of the network: sizes and shapes.
_SIZE = object()
#: Names that a container of modules keeps for itself.
_TAKEN = frozenset(dir(nn.ModuleDict()))
#: Samples on which the steps are compared with the module, and the largest relative difference of rounding.
_COMPARED, _ROUNDING = 32, 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnGraph:
    """An ANN as steps.

    Attributes:
        steps: in topological order; the first is the input, the last is the result, and all lead to it.
        modules: of the steps of kind "layer", by name; copies of the user's.
    """

    steps: tuple[Step, ...]
    modules: dict[str, nn.Module]

    @torch.no_grad()
    def run(self, x: Tensor) -> dict[str, Tensor]:
        """What every step gives for x (batch, *input shape)."""
        values: dict[str, Tensor] = {}
        for step in self.steps:
            values[step.name] = x if step.kind == "input" else self._compute(step, values)
        return values

    @torch.no_grad()
    def result(self, values: Mapping[str, Tensor], *, instead: Mapping[str, Tensor]) -> Tensor:
        """The result if some steps gave other values.

        Args:
            values: what `run` found.
            instead: step -> what it gives.
        """
        changed = dict(instead)
        for step in self.steps:
            if step.name not in changed and any(source in changed for source in step.sources):
                changed[step.name] = self._compute(step, {**values, **changed})
        last = self.steps[-1].name
        return changed.get(last, values[last])

    def _compute(self, step: Step, values: Mapping[str, Tensor]) -> Tensor:
        given = [values[source] for source in step.sources]
        if step.kind == "relu":
            return given[0].relu()
        if step.kind == "add":
            return given[0] + given[1]
        result: Tensor = self.modules[step.name](given[0])
        return result


def trace_ann(module: nn.Module, *, input_shape: Shape) -> AnnGraph:
    """A module's forward as steps, batch norm folded; the module is not changed.

    Args:
        module: an ANN that torch.fx can trace; taken as it is in eval mode.
        input_shape: of one sample.

    Raises:
        UnsupportedNode: the forward cannot be traced, or a layer or function of it has no spiking form.
    """
    own = _real(module)
    tracer = _Tracer()
    if tracer.is_leaf_module(own, ""):
        own = nn.Sequential(own)
    try:
        graph = tracer.trace(own)
    except Exception as error:  # whatever a user's forward raises on tensors without values
        raise UnsupportedNode(
            f"{type(module).__name__}: its forward cannot be traced ({_first_line(error)}{_place(error)}); write it "
            "without loops over tensors and conditions on values"
        ) from error
    return _folded(_pruned(_Walker(own, input_shape).walk(graph)))


def must_compute_the_same(graph: AnnGraph, module: nn.Module, images: Tensor) -> None:
    """Compare the steps with the module on a few samples.

    Raises:
        UnsupportedNode: they differ, which in-place operations and layers with a forward of their own can cause.
    """
    own = _real(module)
    x = images[:_COMPARED]
    with torch.no_grad():
        expected = own(x)
    expected = getattr(expected, "value", expected)  # brevitas hands tensors on with their scale if it is told to
    found = graph.run(x)[graph.steps[-1].name]
    if found.shape == expected.shape:
        difference = float((found - expected).abs().max()) / max(float(expected.abs().max()), 1e-30)
        if difference <= _ROUNDING:
            return
        what = f"differs by {difference:.1%}"
    else:
        what = f"has the shape {tuple(found.shape)} and not {tuple(expected.shape)}"
    raise UnsupportedNode(
        f"{type(module).__name__}: what was traced {what} from what the module computes; write in-place operations "
        "(inplace=True, +=) as plain ones, and give a forward that does not depend on the batch"
    )


def _real(module: nn.Module) -> nn.Module:
    """A copy in which brevitas rounds weights alone: activations become spikes, whatever their width was."""
    own = deepcopy(module).cpu().float().eval()
    for part in own.modules():
        proxy = getattr(part, "act_quant", None)
        if proxy is not None:
            proxy.disable_quant = True
    return own


class _Tracer(fx.Tracer):
    """Keeps the lines of the forward, for refusals."""

    def __init__(self) -> None:
        super().__init__()
        self.record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Layers stay whole; containers and the user's own modules are looked into."""
        foreign = type(m).__module__.startswith("brevitas.")
        return foreign or super().is_leaf_module(m, module_qualified_name)


class _Walker:
    """Goes through the traced operations in order; a value is the name of the step that gives it."""

    def __init__(self, root: nn.Module, shape: Shape) -> None:
        self.root, self.shape = root, shape
        self.steps: dict[str, Step] = {}
        self.modules: dict[str, nn.Module] = {}
        self.values: dict[fx.Node, Any] = {}

    def walk(self, graph: fx.Graph) -> AnnGraph:
        for node in graph.nodes:
            if node.op == "placeholder":
                if self.steps and not node.args:
                    raise UnsupportedNode(f"{node.target}: is a second input; give a module that takes one tensor")
                self.values[node] = _SIZE if self.steps else self._step("input", "input", (), self.shape)
            elif node.op == "call_module":
                path = str(node.target)
                module = self.root.get_submodule(path)
                self.values[node] = self._layer(path, module, self._taken(path, node, 0))
            elif node.op == "output":
                last = self._last(node.args[0])
                self.steps[last] = self.steps.pop(last)
            else:
                self.values[node] = self._operation(node)
        return AnnGraph(steps=tuple(self.steps.values()), modules=self.modules)

    def _last(self, returned: Any) -> str:
        name = self.values.get(returned) if isinstance(returned, fx.Node) else None
        if not isinstance(name, str):
            raise UnsupportedNode("output: the forward returns several values or none; return one tensor")
        if len(self.steps[name].shape) != 1:
            raise UnsupportedNode(f"output: has the shape {self.steps[name].shape}; end in Flatten and Linear")
        return name

    def _step(self, wanted: str, kind: Any, sources: tuple[str, ...], shape: Shape) -> str:
        stem = name = wanted.replace(".", "_")
        count = 1
        while name in self.steps or name in _TAKEN or (name in ("input", "output") and kind != "input"):
            count += 1
            name = f"{stem}_{count}"
        self.steps[name] = Step(name=name, kind=kind, sources=sources, shape=shape)
        return name

    def _taken(self, where: str, node: fx.Node, index: int) -> str:
        """The step whose value an operation takes as its argument `index`."""
        given = [*node.args, *node.kwargs.values()]
        asked = given[index] if index < len(given) else None
        name = self.values.get(asked) if isinstance(asked, fx.Node) else None
        if not isinstance(name, str):
            raise UnsupportedNode(f"{where}: takes a constant{_line(node)}; put it into the weights or a bias")
        return name

    def _layer(self, where: str, module: nn.Module, source: str) -> str:
        """The step of a layer."""
        kind = type(module).__name__
        if _plain_name(kind) in _PASSING:
            return source
        for part in ("input_quant", "bias_quant", "output_quant") if hasattr(module, "quant_weight") else ():
            if getattr(module, part).is_quant_enabled:
                raise UnsupportedNode(
                    f"{where}: {part} is on; quantized weights are taken over, activations become spikes; set "
                    f"{part}=None"
                )
        shape = self.steps[source].shape
        if isinstance(module, nn.ReLU) or kind == "QuantReLU":
            return self._step(where, "relu", (source,), shape)
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module = _even_pool(where, module, shape)
        if isinstance(module, nn.AvgPool2d):
            _must_be_plain_average(where, module)
        elif isinstance(module, nn.Flatten):
            if module.start_dim != 1 or module.end_dim not in (-1, len(shape)):
                raise UnsupportedNode(f"{where}: flattens some dimensions only; use nn.Flatten()")
            if len(shape) == 1:
                return source
        elif isinstance(module, WEIGHTED):
            module = _plain_copy(where, module, shape)
        elif not isinstance(module, NORMS):
            raise UnsupportedNode(f"{where}: {kind} has no spiking form; {_remedy(kind)}")
        name = self._step(where, "layer", (source,), _out_shape(where, module, shape))
        self.modules[name] = module
        return name

    def _operation(self, node: fx.Node) -> Any:
        """A function, or a method of a tensor."""
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        plain = _plain_name(name)
        given = [self.values.get(a, a) if isinstance(a, fx.Node) else a for a in (*node.args, *node.kwargs.values())]
        if node.op == "get_attr" or plain in _SIZES or (plain == "getattr" and given[1] in ("shape", "dtype")):
            return _SIZE
        if node.target is operator.getitem and given[0] is _SIZE:
            return _SIZE
        if plain in _ADDS:
            return self._sum(node)
        if plain in _PASSING:
            return self._taken(name, node, 0)
        if plain == "relu":
            source = self._taken(name, node, 0)
            return self._step("relu", "relu", (source,), self.steps[source].shape)
        if plain in _FLATTENS:
            return self._flatten(node, plain, given)
        if node.target in (nn.functional.avg_pool2d, nn.functional.adaptive_avg_pool2d):
            layer = nn.AvgPool2d if plain == "avgpool2d" else nn.AdaptiveAvgPool2d
            return self._layer(plain, layer(*node.args[1:], **node.kwargs), self._taken(name, node, 0))  # type: ignore[arg-type]
        raise UnsupportedNode(f"{name}: has no spiking form{_line(node)}; {_remedy(plain)}")

    def _sum(self, node: fx.Node) -> str:
        if len(node.args) != 2 or node.kwargs:
            raise UnsupportedNode(f"{node.name}: adds with a factor{_line(node)}; put it into the weights")
        sources = (self._taken(node.name, node, 0), self._taken(node.name, node, 1))
        one, other = (self.steps[source].shape for source in sources)
        if one != other:
            raise UnsupportedNode(f"{node.name}: adds shapes {one} and {other}{_line(node)}; give both the same shape")
        return self._step(node.name, "add", sources, one)

    def _flatten(self, node: fx.Node, plain: str, given: list[Any]) -> str:
        """A flattening of all but the batch, however it is written."""
        source = self._taken(node.name, node, 0)
        size = math.prod(self.steps[source].shape)
        if plain == "flatten":
            named = dict(node.kwargs)
            start = given[1] if len(node.args) > 1 else named.get("start_dim", 0)
            end = given[2] if len(node.args) > 2 else named.get("end_dim", -1)
            whole = start == 1 and end in (-1, len(self.steps[source].shape))
        else:
            wanted = [s for g in given[1:] for s in (g if isinstance(g, list | tuple) else (g,))]
            wanted = [self.values.get(s, s) if isinstance(s, fx.Node) else s for s in wanted]
            whole = len(wanted) == 2 and wanted[1] in (-1, size) and (wanted[0] is _SIZE or wanted[1] == size)
        if not whole:
            raise UnsupportedNode(
                f"{node.name}: reshapes to something other than (batch, {size}){_line(node)}; use nn.Flatten()"
            )
        return self._layer(plain, nn.Flatten(), source)


def _plain_name(name: str) -> str:
    """`MaxPool2d`, `max_pool2d`, `relu_` and `__add__` alike."""
    return name.replace("_", "").lower()


def _remedy(name: str) -> str:
    """What to do about a layer or function that has no form."""
    plain = _plain_name(name)
    return _REMEDIES.get(plain) or _REMEDIES.get(re.sub("[123]d$", "", plain), _REMEDY)


def _line(node: fx.Node) -> str:
    """Where in the user's code an operation stands, as the end of a sentence."""
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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _plain_copy(where: str, module: Weighted, shape: Shape) -> nn.Module:
    """The layer with the weights that it computes with."""
    if isinstance(module, nn.Linear):
        if len(shape) != 1:
            raise UnsupportedNode(f"{where}: Linear reads values of shape {shape}; put nn.Flatten() before it")
    elif module.padding_mode != "zeros":
        raise UnsupportedNode(f"{where}: padding_mode {module.padding_mode!r} has no form; use zeros and retrain")
    return plain_copy(module)


def _even_pool(where: str, module: nn.AdaptiveAvgPool2d, shape: Shape) -> nn.AvgPool2d:
    """An adaptive pool as the pool that it is for maps of this size."""
    size = module.output_size
    wanted = tuple(size) if isinstance(size, tuple | list) else (size, size)
    maps = shape[1:]
    if len(shape) != 3:
        raise UnsupportedNode(f"{where}: pools (channels, height, width), its source has the shape {shape}")
    outs = [have if out is None else int(out) for have, out in zip(maps, wanted, strict=True)]
    if any(have % out for have, out in zip(maps, outs, strict=True)):
        raise UnsupportedNode(
            f"{where}: pools maps of {maps} to {tuple(outs)} with windows of different sizes; use nn.AvgPool2d"
        )
    return nn.AvgPool2d((maps[0] // outs[0], maps[1] // outs[1]))


def _must_be_plain_average(where: str, module: nn.AvgPool2d) -> None:
    padded = any(module.padding) if isinstance(module.padding, tuple) else bool(module.padding)
    if module.ceil_mode or module.divisor_override is not None or (padded and not module.count_include_pad):
        raise UnsupportedNode(
            f"{where}: ceil_mode, divisor_override and count_include_pad=False have no form; use the defaults"
        )


def _out_shape(where: str, module: nn.Module, shape: Shape) -> Shape:
    try:
        with torch.no_grad():
            found = module(torch.zeros(1, *shape))
    except (RuntimeError, ValueError) as error:
        raise UnsupportedNode(
            f"{where}: does not take values of shape {shape} ({_first_line(error)}); give samples of the shape that "
            "the network expects"
        ) from error
    return tuple(int(n) for n in found.shape[1:])


def _pruned(graph: AnnGraph) -> AnnGraph:
    """Without what does not lead to the result."""
    needed = {graph.steps[-1].name}
    for step in reversed(graph.steps):
        if step.name in needed:
            needed.update(step.sources)
    if "input" not in needed:
        raise UnsupportedNode("output: does not depend on the input")
    steps = tuple(step for step in graph.steps if step.name in needed)
    return AnnGraph(steps=steps, modules={name: m for name, m in graph.modules.items() if name in needed})


def _folded(graph: AnnGraph) -> AnnGraph:
    """Every batch norm folded into the layer before it.

    Raises:
        UnsupportedNode: it does not follow a layer with weights, or that layer's values are read elsewhere, too.
    """
    modules = dict(graph.modules)
    readers = [source for step in graph.steps for source in step.sources]
    renamed: dict[str, str] = {}
    steps: list[Step] = []
    for step in graph.steps:
        sources = tuple(renamed.get(source, source) for source in step.sources)
        norm = modules.get(step.name)
        if not isinstance(norm, NORMS):
            steps.append(replace(step, sources=sources))
            continue
        before = modules.get(sources[0]) if readers.count(step.sources[0]) == 1 else None
        modules[sources[0]] = folded(step.name, before, norm)
        renamed[step.name] = sources[0]
        del modules[step.name]
    return AnnGraph(steps=tuple(steps), modules=modules)
