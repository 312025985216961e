"""Tensors in, tensors out: networks, objectives and tasks. Knows nothing of Ray or of stages."""

from models.torchvision_ops import define_missing_operators

define_missing_operators()
