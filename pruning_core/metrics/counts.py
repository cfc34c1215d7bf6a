"""Metrics of what the model is made of: parameters, multiply-accumulates per example, bytes. Exact: no interval."""

from pruning_core.metrics.seam import Reading, metric
from pruning_core.metrics.structure import Structure

_OTHERS = "all other tensors dense"


@metric("params", label="Parameters", unit="parameters", higher_is_better=False)
def params(structure: Structure) -> Reading:
    """All parameters, zeros included."""
    return Reading(structure.graph.params, "counted; zeros included")


@metric("nonzero_params", label="Nonzero parameters", unit="parameters", higher_is_better=False)
def nonzero_params(structure: Structure) -> Reading:
    """Parameters that are not zero, in prunable weights and everywhere else."""
    return Reading(structure.n_kept + structure.rest.nonzero, "counted; all parameters that are not zero")


@metric("sparsity", label="Sparsity", unit="fraction", higher_is_better=True)
def sparsity(structure: Structure) -> Reading:
    """Share of zeros among the weights of prunable layers (biases, norms and other parameters left out)."""
    total = structure.n_weights
    removed = total - structure.n_kept
    return Reading(removed / total if total else 0.0, f"{removed:,} of {total:,} weights of prunable layers are zero")


@metric("model_sparsity", label="Sparsity of all parameters", unit="fraction", higher_is_better=True)
def model_sparsity(structure: Structure) -> Reading:
    """Share of zeros among all parameters of the model."""
    total = structure.graph.params
    zeros = total - structure.n_kept - structure.rest.nonzero
    return Reading(zeros / total if total else 0.0, f"{zeros:,} of all {total:,} parameters are zero")


@metric("macs", label="MACs", unit="MACs", higher_is_better=False)
def macs(structure: Structure) -> Reading:
    """Multiply-accumulates of one example as the model is run, multiplications by zero included."""
    return Reading(structure.graph.macs, "counted from shapes, one example; FLOPs = 2 × MACs")


@metric("effective_macs", label="Effective MACs", unit="MACs", higher_is_better=False)
def effective_macs(structure: Structure) -> Reading:
    """Multiply-accumulates of one example without those by a zero weight; a dense kernel does them all the same."""
    skipped = sum(
        round(layer.macs * (layer.n_weights - structure.kept[layer.name]) / layer.n_weights)
        for layer in structure.graph.layers
    )
    return Reading(structure.graph.macs - skipped, "MACs × share of nonzero weights, layer by layer; not a speed")


@metric("storage_dense", label="Dense storage", unit="bytes", higher_is_better=False)
def storage_dense(structure: Structure) -> Reading:
    """Bytes with every value stored, zeros too."""
    return _bytes(structure, "dense", "every value of every tensor")


@metric("storage_bitmask", label="Bitmask storage", unit="bytes", higher_is_better=False)
def storage_bitmask(structure: Structure) -> Reading:
    """Bytes with the kept values and one bit per weight."""
    return _bytes(structure, "bitmask", f"kept values + 1 bit per weight; {_OTHERS}")


@metric("storage_csr", label="CSR storage", unit="bytes", higher_is_better=False)
def storage_csr(structure: Structure) -> Reading:
    """Bytes as compressed sparse rows with int32 indices."""
    return _bytes(structure, "csr", f"kept values + int32 columns + int32 row pointers; {_OTHERS}")


@metric("storage_n_m", label="N:M storage", unit="bytes", higher_is_better=False, needs={"masks", "n_m"})
def storage_n_m(structure: Structure) -> Reading:
    """Bytes with n of every m values and their places, for the layers that have such a pattern."""
    return _bytes(structure, "n_m", f"n values of every m + ceil(log2 m) bits each; other layers and {_OTHERS}")


@metric("storage_best", label="Smallest storage", unit="bytes", higher_is_better=False)
def storage_best(structure: Structure) -> Reading:
    """Bytes with each layer in the format that is smallest for it."""
    return _bytes(structure, "best", f"smallest format of each layer; {_OTHERS}")


def _bytes(structure: Structure, name: str, how: str) -> Reading:
    return Reading(structure.storage[name], how)
