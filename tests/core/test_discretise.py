"""Selection, the rule of sampling and derivation, on scores small enough to decide by eye."""

import numpy as np
from cells import genotypes
from hypothesis import given

from stcnas_core.genotype import Genotype
from stcnas_core.path import everything, from_genotype, select, to_genotype
from stcnas_core.topology import DARTS, NASBENCH201


def test_edges_are_ordered_by_node_then_source() -> None:
    assert DARTS.edges[:5] == ((2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
    assert len(DARTS.edges) == 14
    assert NASBENCH201.edges == ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
    assert DARTS.edges_by_node == ((0, 1), (2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12, 13))


def test_the_two_edges_of_the_highest_best_operation_are_kept() -> None:
    scores = np.zeros((2, 14, 7))
    scores[0, 2, 3] = 0.2  # node 3 from node 0
    scores[0, 3, 6] = 0.9  # node 3 from node 1
    scores[0, 4, 0] = 0.5  # node 3 from node 2
    scores[0, 13, 5] = 0.1  # node 5 from node 4: the only one above the ties at 0
    chosen = select(DARTS, scores)
    assert chosen[0] == ((0, 0), (1, 0), (3, 6), (4, 0), (5, 0), (6, 0), (9, 0), (13, 5))
    assert chosen[1] == ((0, 0), (1, 0), (2, 0), (3, 0), (5, 0), (6, 0), (9, 0), (10, 0))


def test_an_edges_sum_does_not_count_only_its_best_operation() -> None:
    scores = np.zeros((2, 14, 7))
    scores[0, 2] = 0.4  # 2.8 in total, 0.4 at best
    scores[0, 3, 1] = 0.5
    scores[0, 4, 2] = 0.6
    assert select(DARTS, scores)[0][2:4] == ((3, 1), (4, 2))


def test_none_is_passed_over_unless_it_is_allowed() -> None:
    scores = np.zeros((1, 6, 5))
    scores[0, :, 0] = 1.0
    scores[0, 4, 3] = 0.5
    assert select(NASBENCH201, scores)[0] == ((0, 1), (1, 1), (2, 1), (3, 1), (4, 3), (5, 1))
    assert select(NASBENCH201, scores, allow_none=True)[0] == tuple((edge, 0) for edge in range(6))
    assert (scores[0, :, 0] == 1.0).all(), "the caller's scores are left alone"


@given(genotypes(DARTS))
def test_a_choice_and_its_genotype_are_the_same_thing(genotype: Genotype) -> None:
    assert to_genotype(DARTS, from_genotype(genotype)) == genotype


def test_everything_is_every_operation_of_every_edge() -> None:
    assert len(everything(DARTS)[1]) == 14 * 7
    assert len(everything(NASBENCH201)[0]) == 6 * 5
