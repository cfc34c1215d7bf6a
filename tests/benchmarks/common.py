"""What the benchmarks share: the machine in words, timing on one thread, percentiles, one JSON document on stdout."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch

import pruning_core as pc
import sample_models
from pruning_core.data import Dataset
from pruning_core.model import Model


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, load, threads, versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


class Stopwatch:
    """Wall and processor seconds of all blocks timed with it."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    @contextmanager
    def time(self) -> Iterator[None]:
        """Time one block."""
        wall, cpu = perf_counter(), process_time()
        yield
        self.wall.append(perf_counter() - wall)
        self.cpu.append(process_time() - cpu)

    @property
    def total(self) -> dict[str, float]:
        """Sums in seconds."""
        return {"wall_s": round(sum(self.wall), 3), "cpu_s": round(sum(self.cpu), 3)}

    @property
    def percentiles(self) -> dict[str, float]:
        """Median and 95th percentile in milliseconds."""
        return {
            "n": len(self.wall),
            "wall_p50_ms": _ms(percentile(self.wall, 50)),
            "wall_p95_ms": _ms(percentile(self.wall, 95)),
            "cpu_p50_ms": _ms(percentile(self.cpu, 50)),
            "cpu_p95_ms": _ms(percentile(self.cpu, 95)),
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` % of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


def parser(description: str | None, names: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """Return the options that all scripts share; `names` are the models by default, else all samples with weights."""
    options = argparse.ArgumentParser(description=description)
    chosen = available() if names is None else list(names)
    options.add_argument("--samples", nargs="+", default=chosen, help=f"models (default: {', '.join(chosen)})")
    return options


def progress(text: str) -> None:
    """Say on stderr what is measured now."""
    print(text, file=sys.stderr, flush=True)


def available() -> list[str]:
    """Return the samples whose trained weights are here."""
    return [name for name, sample in sample_models.SAMPLES.items() if sample.weights_path.exists()]


def load(name: str) -> tuple[Model, Dataset]:
    """Return a sample and its data."""
    model = pc.load_model(name)
    return model, pc.load_data(str(model.data_name))


def rounded(value: Any) -> Any:
    """Return the same with every fraction at four digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def run(measure: Callable[[], dict[str, Any]], threads: int = 1) -> None:
    """Measure on `threads` threads and print one JSON document."""
    torch.set_num_threads(threads)
    print(json.dumps(rounded({"machine": machine(), **measure()}), indent=2))
