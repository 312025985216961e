"""The stochastic answer network for pairs of texts (Liu, Duh and Gao 2018, arXiv 1804.07888; MT-DNN, section 3).

Shape suffixes: B pairs, L positions, D the encoder's width, C classes, T turns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.sentence_head import fresh_linear


class StochasticAnswer(nn.Module):
    """Reads a premise in several turns, with a state that begins as the hypothesis; its answer is the turns' mean.

    s_0 = sum_j a_j h_j, a = softmax(w . h_j); then every turn
    x = sum_j b_j p_j, b = softmax(p_j . (W s));  P = softmax(V [s; x; |s - x|; s * x]);  s <- GRU(x, s)

    In training each pair loses turns at random, but never all, and the mean is over those it keeps. The reference
    divides by all turns instead; its loss normalises the mean again, so that the gradient is the same.
    """

    def __init__(self, width: int, classes: int, turns: int, drop_turns: float, dropout: float) -> None:
        super().__init__()
        self.turns, self.drop_turns = turns, drop_turns
        self.dropout = nn.Dropout(dropout)
        self.summary = fresh_linear(width, 1)
        self.attention = fresh_linear(width, width)
        self.answer = fresh_linear(4 * width, classes)
        self.update = nn.GRUCell(width, width)

    def forward(self, states_BLD: Tensor, hypothesis_BL: Tensor, premise_BL: Tensor) -> Tensor:
        """Log-probabilities [B, C] of the answers.

        states_BLD       the encoder's last layer
        hypothesis_BL    where the hypothesis stands, bool; at least one position a pair
        premise_BL       where the premise stands, bool; at least one position a pair
        """
        with torch.autocast(states_BLD.device.type, enabled=False):  # half precision made it unstable for its authors
            log_p_TBC = self.answer_turns(states_BLD.float(), hypothesis_BL, premise_BL)
            return mean_answer(log_p_TBC, self.keep_turns(len(states_BLD), states_BLD.device))

    def answer_turns(self, states_BLD: Tensor, hypothesis_BL: Tensor, premise_BL: Tensor) -> Tensor:
        """Every turn's log-probabilities [T, B, C]."""
        dropped_BLD = self.dropout(states_BLD)
        weights_BL = self.summary(dropped_BLD).squeeze(-1).masked_fill(~hypothesis_BL, -torch.inf).softmax(-1)
        state_BD = torch.einsum("bl,bld->bd", weights_BL, dropped_BLD)
        turns = []
        for _ in range(self.turns):
            question_BD = self.attention(self.dropout(state_BD))
            scores_BL = torch.einsum("bld,bd->bl", dropped_BLD, question_BD)
            weights_BL = scores_BL.masked_fill(~premise_BL, -torch.inf).softmax(-1)
            read_BD = torch.einsum("bl,bld->bd", weights_BL, states_BLD)
            both = torch.cat([state_BD, read_BD, (state_BD - read_BD).abs(), state_BD * read_BD], -1)
            turns.append(F.log_softmax(self.answer(self.dropout(both)), dim=-1))
            state_BD = self.update(read_BD, self.dropout(state_BD))
        return torch.stack(turns)

    def keep_turns(self, pairs: int, device: torch.device) -> Tensor:
        """Which turns count for which pair [T, B], bool: all, or in training one at random and of the others most."""
        kept_TB = torch.ones(self.turns, pairs, dtype=torch.bool, device=device)
        if self.training and self.drop_turns:
            kept_TB = torch.rand(self.turns, pairs, device=device) >= self.drop_turns
            kept_TB[torch.randint(self.turns, (pairs,), device=device), torch.arange(pairs, device=device)] = True
        return kept_TB


def mean_answer(log_p_TBC: Tensor, kept_TB: Tensor) -> Tensor:
    """Logarithm [B, C] of the mean of the kept turns' probabilities."""
    kept_TB1 = kept_TB.unsqueeze(-1)
    return log_p_TBC.masked_fill(~kept_TB1, -torch.inf).logsumexp(0) - kept_TB1.sum(0).log()
