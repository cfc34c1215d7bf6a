"""Evaluators: what runs the forks of a sweep, chosen by measurement."""

from pruning_core.sensitivity.evaluators import onednn, onnx_runtime, torch_eager  # noqa: F401
from pruning_core.sensitivity.evaluators.bfloat16 import agreement
from pruning_core.sensitivity.evaluators.choice import EXAMPLES, ChosenEvaluator, best, choose
from pruning_core.sensitivity.evaluators.seam import EVALUATORS, CannotRun, Evaluator, EvaluatorKind
from pruning_core.sensitivity.evaluators.stacked import fork_levels

__all__ = [
    "EVALUATORS",
    "EXAMPLES",
    "CannotRun",
    "ChosenEvaluator",
    "Evaluator",
    "EvaluatorKind",
    "agreement",
    "best",
    "choose",
    "fork_levels",
]
