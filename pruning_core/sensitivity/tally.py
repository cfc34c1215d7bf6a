"""`Tally`: sums over examples of what a pruned model answered, beside the dense model."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Tally:
    """Sums over the examples seen so far; two tallies of different examples add up. Losses and KL are in nats.

    Counts are whole, but of a model that answers at each position an example counts the share of its positions.
    """

    n: int = 0
    correct: float = 0
    gained: float = 0  # right now, wrong in the dense model
    lost: float = 0  # wrong now, right in the dense model
    agreeing: float = 0  # answered as by the dense model
    loss: float = 0.0
    kl: float = 0.0
    rise: float = 0.0  # of loss minus dense loss
    rise_squares: float = 0.0
    kl_squares: float = 0.0
    labelled: bool = False  # without labels only n, agreeing and KL say something

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.n + other.n,
            self.correct + other.correct,
            self.gained + other.gained,
            self.lost + other.lost,
            self.agreeing + other.agreeing,
            self.loss + other.loss,
            self.kl + other.kl,
            self.rise + other.rise,
            self.rise_squares + other.rise_squares,
            self.kl_squares + other.kl_squares,
            self.labelled or other.labelled,
        )


SUMS = tuple(field.name for field in fields(Tally) if field.name != "labelled")
