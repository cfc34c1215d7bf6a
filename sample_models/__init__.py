"""Small trained networks with their data, so that everything works without a network connection.

`load(name)` gives a trained model in eval mode, `build(name)` one with random weights, `SAMPLES` lists them;
`load_arrays(name)` gives the images and `DATASETS` says how to normalise them.
"""

from sample_models.datasets import DATASETS, SampleData, load_arrays
from sample_models.registry import SAMPLES, Sample, build, load

__all__ = ["DATASETS", "SAMPLES", "Sample", "SampleData", "build", "load", "load_arrays"]
