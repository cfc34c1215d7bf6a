"""TorchScript as a graph of operators, made by torch's own converter; its answers are compared with the script's.

`torch.export` takes no ScriptModule. The converter's graph does trace, with its weights under their names.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload

from pruning_core.errors import FileRefused
from pruning_core.loaders.untrained import seed_zero
from pruning_core.refusals import refused

CLOSE = 1e-5  # relative to the largest answer


def converted(path: str, examples: tuple[Tensor, ...]) -> nn.Module:
    """Load the TorchScript file and return the same model as a module that can be traced, or refuse it."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        try:
            script = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError):
            raise refused("E202", f"'{path}' is TorchScript that cannot be read") from None
        parameters = dict(script.named_parameters())
        if not parameters:
            raise refused("E234", f"'{path}' is frozen TorchScript: its weights have no names any more")
        module = _converted(path, script, examples)
        _name_weights(module, parameters)
        _check_equal(path, script, module, examples)
    return module.eval()


def _converted(path: str, script: Any, examples: tuple[Tensor, ...]) -> fx.GraphModule:
    from torch._export.converter import TS2EPConverter

    class Converter(TS2EPConverter):
        """Stops at the graph, whose batch is still free."""

        state_dict: dict[str, Tensor]
        graph_module: fx.GraphModule

        def retrace_as_exported_program(self, gm: fx.GraphModule, name_to_constant: dict[str, Any]) -> Any:
            self.graph_module, self.state_dict = gm, dict(script.state_dict())
            return self

    try:
        return Converter(script, examples).convert().graph_module  # type: ignore[no-any-return]
    except Exception as error:  # an operator or a choice at run time that the converter lacks
        raise _not_converted(path, error) from None


def _not_converted(path: str, error: Exception) -> FileRefused:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return refused("E234", f"'{path}' is TorchScript that torch cannot turn into a graph ({reason})")


def _name_weights(module: fx.GraphModule, parameters: dict[str, Tensor]) -> None:
    """Make weights parameters again, and read those that stand in lists, as of an LSTM, by their names."""
    for name, tensor in parameters.items():
        owner, _, attribute = name.rpartition(".")
        if owner not in dict(module.named_modules()):
            module.add_submodule(owner, nn.Module())
        if attribute in vars(module.get_submodule(owner))["_buffers"]:
            delattr(module.get_submodule(owner), attribute)
        module.get_submodule(owner).register_parameter(attribute, nn.Parameter(tensor.detach()))
    names = {tensor.data_ptr(): name for name, tensor in parameters.items()}
    for node in list(module.graph.nodes):
        with module.graph.inserting_before(node):
            node.args = fx.node.map_aggregate(node.args, lambda value: _by_name(module, names, value))
        if node.target is torch.ops.aten.convolution.default:
            _name_convolution(node)
        _let_out_of_place(node)
    module.recompile()


def _by_name(module: fx.GraphModule, names: dict[int, str], value: Any) -> Any:
    return module.graph.get_attr(names[value.data_ptr()]) if isinstance(value, Tensor) else value


def _name_convolution(node: fx.Node) -> None:
    """Say which convolution it is: a recorded script has one operator for all of them."""
    inputs, weight, bias, stride, padding, dilation, transposed, output_padding, groups = node.args
    n, aten = len(stride), torch.ops.aten  # type: ignore[arg-type]
    if transposed:
        targets = (aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input)
        node.args = (inputs, weight, bias, stride, padding, output_padding, groups, dilation)
    else:
        targets = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)
        node.args = (inputs, weight, bias, stride, padding, dilation, groups)
    node.target = targets[n - 1]


def _let_out_of_place(node: fx.Node) -> None:
    """Make `relu_` a `relu` where nobody else reads what it overwrites: operators in place are slow to trace."""
    operator, source = node.target, node.args[0] if node.args else None
    if not isinstance(operator, OpOverload) or not isinstance(source, fx.Node) or len(source.users) > 1:
        return
    is_fresh = isinstance(source.target, OpOverload) and not any(each.alias_info for each in _returns(source.target))
    name = operator.overloadpacket.__name__
    other = getattr(torch.ops.aten, name.removesuffix("_"), None) if name.endswith("_") else None
    if is_fresh and other is not None and operator._overloadname in other.overloads():
        node.target = getattr(other, operator._overloadname)


def _returns(operator: OpOverload) -> Any:
    return operator._schema.returns


def _check_equal(path: str, script: Any, module: nn.Module, examples: tuple[Tensor, ...]) -> None:
    """Refuse a conversion that answers otherwise on generated inputs."""
    with seed_zero():
        inputs = [torch.randn_like(example) if example.is_floating_point() else example for example in examples]
    try:
        ours, theirs = module(*inputs), script(*inputs)
    except Exception as error:  # such as an input of another shape than the model takes
        reason = str(error).strip().splitlines()[-1][:160]
        raise refused("E250", f"'{path}' does not run at {[tuple(each.shape) for each in inputs]} ({reason})") from None
    if not isinstance(theirs, Tensor):
        raise refused("E234", f"'{path}' returns {type(theirs).__name__} and not one tensor")
    apart = float((ours - theirs).abs().max())
    if not apart <= CLOSE * max(1.0, float(theirs.abs().max())):
        raise refused("E234", f"'{path}' answers otherwise as a graph, by up to {apart:.2g}")
