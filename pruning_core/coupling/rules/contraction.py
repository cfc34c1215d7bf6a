"""Contractions of activations: the summed channels of both sides are one; attention heads are found here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from pruning_core.coupling.labels import compact, no_channels, varying_dims
from pruning_core.coupling.meetings import join, split_heads, statistic
from pruning_core.coupling.rules.table import rule
from pruning_core.coupling.zeros import dies_to_zero

if TYPE_CHECKING:
    from pruning_core.coupling.context import Context

_BATCH = "uvwxyz"


def contract(ctx: Context, node: fx.Node, equation: str, a: Tensor, b: Tensor, zero: bool | None = None) -> Tensor:
    """Return the labels of einsum(equation, a, b); letters stand for dimensions.

    `zero` says that a removed channel is exactly 0 on some side; left out, the operands of the node are asked.
    """
    (first, second), out = equation.split("->")[0].split(","), equation.split("->")[1]
    letters = list(dict.fromkeys(first + second))
    left = _spread(compact(ctx.roots(a)), first, letters)
    right = _spread(compact(ctx.roots(b)), second, letters)
    summed = [i for i, letter in enumerate(letters) if letter not in out]
    for side, other in ((left, right), (right, left)):
        split_heads(ctx, node, side, other, summed)
    joined = compact(ctx.roots(join(ctx, left, right, node)))
    result, varying = joined, set(varying_dims(joined))
    for dim in summed:
        result = result.narrow(dim, 0, 1)
    if varying & set(summed):
        if not (dies_to_zero(ctx, node) if zero is None else zero):
            ctx.labels.freeze(joined, f"{ctx.where(node)} sums values that are not zero where a channel is removed")
        result = no_channels(result.shape)
    result = result.permute([letters.index(letter) for letter in out] + summed)
    return result.reshape(result.shape[: len(out)]) if summed else result


def _spread(labels: Tensor, own: str, letters: list[str]) -> Tensor:
    """Order the dimensions like `letters`; a letter that this operand lacks gets size 1."""
    labels = labels.permute(sorted(range(len(own)), key=lambda i: letters.index(own[i])))
    for i, letter in enumerate(letters):
        if letter not in own:
            labels = labels.unsqueeze(i)
    return labels


def product(ctx: Context, node: fx.Node, a: Tensor, b: Tensor, zero: bool | None = None) -> Tensor:
    """Return the labels of `a @ b` of two or more dimensions."""
    rank = max(a.dim(), b.dim()) - 2
    batch = _BATCH[:rank]
    first, second = batch[rank - a.dim() + 2 :] + "mk", batch[rank - b.dim() + 2 :] + "kn"
    return contract(ctx, node, f"{first},{second}->{batch}mn", a, b, zero)


@rule("matmul", "bmm", "mm", weights=(1,))
def matmul(ctx: Context, node: fx.Node, a: Tensor, b: Tensor) -> Any:
    """A stored matrix on the right is a weight (in, out)."""
    if ctx.is_weight(node.args[1]) and b.dim() == 2:
        return ctx.linear(node, a, node.args[1], None, in_dim=0)
    if a.dim() < 2 or b.dim() < 2:
        return ctx.unknown(node, "a product with a vector")
    if ctx.is_weight(node.args[1]):
        b = ctx.value(node.args[1])
    return product(ctx, node, a, b)


@rule("baddbmm")
def baddbmm(ctx: Context, node: fx.Node, added: Tensor, a: Tensor, b: Tensor, **kwargs: Any) -> Tensor:
    """A product with something added."""
    return join(ctx, product(ctx, node, a, b), added, node)


@rule("einsum", weights=(1,))
def einsum(ctx: Context, node: fx.Node, equation: str, operands: Sequence[Tensor], **kwargs: Any) -> Any:
    """Operands from left to right; a stored matrix with one new letter is a weight."""
    equation = equation.replace(" ", "")
    terms, _, out = equation.partition("->")
    names = terms.split(",")
    if "->" not in equation or "." in equation or any(len(set(name)) < len(name) for name in names):
        return ctx.unknown(node, f"the equation {equation}")
    sources: Sequence[Any] = node.args[1]  # type: ignore[assignment]
    if len(operands) == 1:
        return _sum_out(ctx, node, names[0], out, ctx.value(sources[0]))
    result, name = ctx.value(sources[0]), names[0]
    for i in range(1, len(operands)):
        later = set("".join(names[i + 1 :]) + out)
        wanted = out if i == len(operands) - 1 else "".join(c for c in dict.fromkeys(name + names[i]) if c in later)
        if _is_linear(ctx, sources[i], name, names[i], wanted):
            result = _linear(ctx, node, result, sources[i], name, names[i], wanted)
        else:
            result = contract(ctx, node, f"{name},{names[i]}->{wanted}", result, ctx.value(sources[i]))
        name = wanted
    return result


def _sum_out(ctx: Context, node: fx.Node, name: str, out: str, x: Tensor) -> Tensor:
    gone = [i for i, letter in enumerate(name) if letter not in out]
    statistic(ctx, node, x, gone)
    varies = set(gone) & set(varying_dims(ctx.roots(x)))
    result = no_channels(x.shape) if varies else x
    result = result.permute([name.index(letter) for letter in out] + gone)
    for _ in gone:
        result = result.select(-1, 0)
    return result


def _is_linear(ctx: Context, source: Any, left: str, weight: str, out: str) -> bool:
    """Whether a stored matrix takes one letter and gives another."""
    new = [letter for letter in weight if letter in out and letter not in left]
    old = [letter for letter in weight if letter in left and letter not in out]
    return ctx.is_weight(source) and len(weight) == 2 and len(new) == len(old) == 1


def _linear(ctx: Context, node: fx.Node, x: Tensor, source: fx.Node, left: str, weight: str, out: str) -> Tensor:
    old = next(letter for letter in weight if letter in left)
    new = next(letter for letter in weight if letter != old)
    result = ctx.linear(node, x.movedim(left.index(old), -1), source, None, in_dim=weight.index(old))
    letters = left.replace(old, "") + new
    return result.permute([letters.index(letter) for letter in out])


@rule("scaled_dot_product_attention", "_scaled_dot_product_flash_attention_for_cpu")
def attention(ctx: Context, node: fx.Node, *args: Any, **kwargs: Any) -> Tensor:
    """Scores from query and key, then a mixture of values; heads of one key and value group stay together."""
    query, key, value = args[:3]
    mask = kwargs.get("attn_mask", args[3] if len(args) > 3 else None)
    if kwargs.get("enable_gqa") and key.shape[-3] != query.shape[-3]:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    query_zero, key_zero, value_zero = (source in ctx.zero_when_dead for source in node.args[:3])
    scores = product(ctx, node, query, key.transpose(-1, -2), query_zero or key_zero)
    if isinstance(mask, Tensor):
        scores = join(ctx, scores, mask, node)
    return product(ctx, node, scores, value, value_zero)
