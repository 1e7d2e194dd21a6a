"""Settings of dreams."""

from worldmodels.common.params import Count, Fraction, Natural, NonNegative, Positive, Precision, settings


@settings
class DreamConfig:
    """Settings of dreams.

    Attributes:
        horizon: steps after which a dream is truncated.
        temperature: τ of the mixture; above 1 the dream is less certain than M, and harder to exploit.
        initial_share: share of the dreams that start where an episode, a life (``encode.lives``) or a point
            (``encode.points``) begins; the others start at any recorded state. Where those are far more numerous, an
            agent can forget how an episode begins.
        warmup: recorded steps before a start that M follows first, so that h there is what it is in reality; before an
            episode's first observation there are none.
        end_on_leaving: a dream that leaves the range of the data terminates there.
        range_margin: how far beyond the data's range a dream may go, in units of that range, per dimension.
        precision: of M's matrix products (``worldmodels.common.device``). ``bfloat16`` is up to twice as fast with
            hardware support; the cell state and z stay float32, but z deviates from the float32 result by half a
            percent of a step.
        compile: fuse a step with torch.compile. Compilation takes each worker ten seconds at its start and needs a C++
            compiler on CPUs; it is worthwhile in bfloat16 and in searches of an hour.
        max_batch: maximum number of concurrent dreams, but at least one candidate's; the others run in further batches.
    """

    horizon: Count = 1000
    temperature: Positive = 1.0
    initial_share: Fraction = 1.0
    warmup: Natural = 16
    end_on_leaving: bool = True
    range_margin: NonNegative = 0.1
    precision: Precision = "float32"
    compile: bool = False
    max_batch: Count = 4096
