"""Encoders of other people's shape with random weights, to be timed beside the student: HuBERT-base, and two layers of it.

`python -m detector.train.peers LAYERS WINDOW_S REPEATS` prints JSON. Weights do not change the time of a forward pass, so none
are fetched.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import torch
import transformers

SAMPLE_RATE_HZ = 16_000


def window_seconds(layers: int, window_s: float, repeats: int) -> dict[str, float]:
    """Median time of one forward pass over a window.

    Parameters
    ----------
    layers : int
        Transformer layers: 12 is HuBERT-base (Hsu et al. 2021, arXiv 2106.07447), 2 is the shape of DistilHuBERT (Chang et al. 2022,
        arXiv 2110.01900). The convolutional front, seven layers, is the same for both.
    window_s : float
        Seconds of 16 kHz audio.
    repeats : int

    Returns
    -------
    dict
        "seconds" for a window, "parameters", and "threads" of the run.
    """
    torch.manual_seed(0)
    network = transformers.HubertModel(transformers.HubertConfig(num_hidden_layers=layers))
    network.train(mode=False)
    audio = torch.randn(1, round(window_s * SAMPLE_RATE_HZ))
    times = []
    with torch.inference_mode():
        network(audio)
        for _ in range(repeats):
            started = time.perf_counter()
            network(audio)
            times.append(time.perf_counter() - started)
    return {
        "seconds": statistics.median(times),
        "parameters": float(sum(parameter.numel() for parameter in network.parameters())),
        "threads": float(torch.get_num_threads()),
    }


if __name__ == "__main__":
    print(json.dumps(window_seconds(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))))
