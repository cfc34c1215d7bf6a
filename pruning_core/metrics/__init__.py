"""Metrics: every number with its unit, direction, interval, and how it was measured."""

from importlib import import_module
from pkgutil import iter_modules

from pruning_core.metrics.seam import METRICS, Measurement, Metric, Reading, measurements, metric
from pruning_core.metrics.storage import storage_of
from pruning_core.metrics.structure import Structure

for _module in iter_modules(__path__):  # a file added to this folder is a member without further ado
    import_module(f"{__name__}.{_module.name}")

__all__ = ["METRICS", "Measurement", "Metric", "Reading", "Structure", "measurements", "metric", "storage_of"]
