"""Sweeps as users would get them elsewhere (`peer_loops`), beside ours on the same layers.

All measure the same cells on the same examples in full. On a few layers, spread over the model; each costs a peer the
same.
"""

from typing import Any

import pruning_core as pc
from pruning_core.sensitivity import DEFAULT_LEVELS, Request
from tests.benchmarks.common import Stopwatch, parser, progress, run
from tests.benchmarks.peer_loops import PEERS
from tests.benchmarks.subjects import Subject, subject


def compare(subject: Subject) -> dict[str, Any]:
    """Run the first half of the peers, ours, and the others."""
    watches = {name: Stopwatch() for name in (*PEERS, "exact", "anytime")}
    ours = {name: Request(exact=name == "exact", layers=subject.names) for name in ("exact", "anytime")}
    for name in (*list(PEERS)[:2], *ours, *list(PEERS)[2:]):
        progress(f"  {name}")
        with watches[name].time():
            PEERS[name](subject) if name in PEERS else pc.sweep(subject.model, subject.data, ours[name])
    seconds = {name: sum(watch.cpu) for name, watch in watches.items()}
    return {
        "n": len(subject.data),
        "layers": len(subject.model.graph.layers),
        "layers_swept": len(subject.layers),
        "cpu_s": seconds,
        "wall_s": {name: sum(watch.wall) for name, watch in watches.items()},
        **{f"times_{mine}": {name: seconds[name] / seconds[mine] for name in PEERS} for mine in ours},
    }


def main() -> None:
    """Print the figures."""
    options = parser(__doc__, ["guide_cnn", "resnet_fashion"])
    options.add_argument("--n", type=int, default=2000, help="examples")
    options.add_argument("--layers", type=int, default=2, help="layers swept of each model")
    given = options.parse_args()

    def measure() -> dict[str, Any]:
        found = {}
        for name in given.samples:
            progress(name)
            found[name] = compare(subject(name, given.n, given.layers))
        return {"levels": DEFAULT_LEVELS, "subjects": found}

    run(measure)


if __name__ == "__main__":
    main()
