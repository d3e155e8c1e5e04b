import pytest

from experiments.benchmark import population
from experiments.benchmark.workloads import Workload
from experiments.runtime.subprocesses import call


@pytest.mark.slow
def test_a_member_has_the_loss_of_a_single_run() -> None:
    workload = Workload(12, 17, 3, 1, 43, rows=5, width=7)
    measurements = {count: [call(population.measure, workload, count, 5)] for count in (1, 3)}
    ((single,), (joint,)) = measurements.values()
    assert joint["losses"][0] == pytest.approx(single["losses"][0], rel=1e-5)
    assert len(set(joint["losses"])) == 3, "each member has its own batches"
    assert len(population.table(measurements).splitlines()) == 2 + len(measurements)
