"""Whatever writes .safetensors writes what it was given: safetensors takes an array's memory as it lies, transposed or not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from crossgap.shards import ShardStore
from crossgap.training import nano, trainable

ROOT = Path(__file__).parents[1]
WRITERS = {"crossgap/shards.py", "crossgap/training/trainable.py", "crossgap/training/nano.py"}
