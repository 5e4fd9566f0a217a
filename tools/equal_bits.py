# SPDX-License-Identifier: Apache-2.0
"""Directly rounded activations that take as many coded bits per value as a network with DQA.

Coded bits are those of `--activation-storage coded` on calibration samples: neither rule ever sees a test picture, and
both choose by bits alone, not by accuracy.
"""
STEPS = 6        # networks made at most while searching a share or a mean width
CLOSE = 0.01     # bits per value: near enough


def nearest(coded_of, wanted, points):
    """The argument whose coded bits are the nearest to `wanted`, found by the secant through the nearest two known.

    points: (argument, coded bits) of two or more networks known already; coded_of(argument) makes a further one. Coded
    bits rise with the argument. Returns (argument, coded bits).
    """
    points = sorted(points, key=lambda p: abs(p[1] - wanted))
    for _ in range(STEPS):
        (x, y), (x0, y0) = points[:2]
        if abs(y - wanted) <= CLOSE or y == y0:
            break
        x1 = round(x + (wanted - y) * (x - x0) / (y - y0), 3)
        if any(x1 == x for x, _ in points):
            break
        points = sorted(points + [(x1, coded_of(x1))], key=lambda p: abs(p[1] - wanted))
    return points[0]


def spread(tensors, share):
    """Names of the tensors, even over the depth of the network, that together hold about `share` of all values.

    tensors: (name, values per sample) in the network's order. What is still owed is carried on, as in error diffusion.
    """
    owed, chosen = 0.0, []
    for name, values in tensors:
        owed += share * values
        if owed >= values / 2:
            chosen.append(name)
            owed -= values
    return chosen


def mixture_flags(low, chosen):
    """Flags of a network whose tensors have `low` bits, but the chosen ones one more."""
    rows = ",".join(f"{name}={low + 1}" for name in chosen)
    return f"--acts {low} --act-placement all" + (f" --tensor-bits {rows}" if rows else "") + " --learn 0"
