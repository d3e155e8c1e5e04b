"""Traffic of HLO programs, checked against hand counts. S(1) is on-chip memory; arrays without S lie in HBM."""

import pytest

from launch.planner.hlo import Collective, HloProgram


def program(*lines: str, iterations: int = 1) -> HloProgram:
    """Returns a program of these lines."""
    body = [line for line in lines if line]
    return HloProgram("\n".join(["HloModule jit_x, is_scheduled=true", *body]), devices=4, iterations=iterations)


def entry(*lines: str) -> tuple[str, ...]:
    return ("ENTRY %main.1 (p.0: f32[3,5]) -> f32[3,5] {", *(f"  {line}" for line in lines), "}")


P = "%p.0 = f32[3,5]{1,0:T(8,128)} parameter(0)"
ROOT = 'ROOT %out = f32[3,5]{1,0:T(8,128)} negate(%p.0), metadata={op_name="jit(x)/neg(1)"}'


def test_an_instruction_reads_its_operands_and_writes_its_output() -> None:
    assert program(*entry(P, ROOT)).traffic().hbm == 2 * 60
    inside = "%a = bf16[3,5]{1,0:T(8,128)(2,1)S(1)} convert(%p.0)"
    again = 'ROOT %out = (pred[7]{0:S(1)}, u8[11]{0}) custom-call(%a), custom_call_target="f"'
    assert program(*entry(P, inside, again)).traffic().hbm == 60 + 11


def test_a_copy_to_on_chip_memory_reads_hbm_once() -> None:
    start = "%s = (f32[3,5]{1,0:S(1)}, f32[3,5]{1,0}, u32[]{:S(2)}) copy-start(%p.0)"
    done = "%d = f32[3,5]{1,0:S(1)} copy-done(%s)"
    cut = "%c = ((f32[3,5]{1,0}), f32[2,5]{1,0:S(1)}, s32[]{:S(2)}) slice-start(%p.0), slice={[0:2], [0:5]}"
    end = "ROOT %out = f32[2,5]{1,0:S(1)} slice-done(%c)"
    assert program(*entry(P, start, done)).traffic().hbm == 60
    assert program(*entry(P, start, done, cut, end)).traffic().hbm == 60 + 40


FUSED = (
    "%fused (a: f32[7,5], b: s32[]) -> f32[1,5] {",
    "  %a = f32[7,5]{1,0} parameter(0)",
    "  %b = s32[] parameter(1)",
    "  ROOT %r = f32[1,5]{1,0} dynamic-slice(%a, %b, %b), dynamic_slice_sizes={1,5}",
    "}",
    "%put (a: f32[7,5], u: f32[1,5], b: s32[]) -> f32[7,5] {",
    "  %u = f32[1,5]{1,0} parameter(1)",
    "  %a.1 = f32[7,5]{1,0} parameter(0)",
    "  %b.1 = s32[] parameter(2)",
    "  ROOT %r.1 = f32[7,5]{1,0} dynamic-update-slice(%a.1, %u, %b.1, %b.1)",
    "}",
)


def test_slices_and_updates_count_only_their_part() -> None:
    lines = entry(
        "%p.0 = f32[7,5]{1,0} parameter(0)",
        "%i = s32[]{:S(2)} parameter(1)",
        "%row = f32[1,5]{1,0} fusion(%p.0, %i), kind=kLoop, calls=%fused",
        "ROOT %new = f32[7,5]{1,0} fusion(%p.0, %row, %i), kind=kLoop, calls=%put",
    )
    assert program(*FUSED, *lines).traffic().hbm == (20 + 20) + (20 + 20)


def loop(condition: str) -> tuple[str, ...]:
    return (
        "%below (t: (s32[], f32[3,5])) -> pred[] {",
        '  %limit = s32[]{:T(128)S(2)} constant(6), metadata={op_name="x"}',
        "  %t = (s32[], f32[3,5]{1,0:S(1)}) parameter(0)",
        "  %g = s32[]{:S(2)} get-tuple-element(%t), index=0",
        f"  ROOT %c = pred[]{{:S(2)}} {condition}",
        "}",
        "%round (u: (s32[], f32[3,5])) -> (s32[], f32[3,5]) {",
        "  %u = (s32[]{:S(2)}, f32[3,5]{1,0:S(1)}) parameter(0)",
        "  %v = f32[3,5]{1,0:S(1)} get-tuple-element(%u), index=1",
        "  %w = f32[3,5]{1,0} negate(%v)",
        "  %x = f32[3,5]{1,0:S(1)} all-reduce(%v), replica_groups={{0,1},{2,3}}, to_apply=%sum",
        "  ROOT %y = (s32[], f32[3,5]) tuple(%u, %x)",
        "}",
        *entry(
            "%p.0 = (s32[]{:S(2)}, f32[3,5]{1,0:S(1)}) parameter(0)",
            "ROOT %out = (s32[], f32[3,5]) while(%p.0), condition=%below, body=%round",
        ),
    )


def test_a_loop_body_counts_once_per_iteration() -> None:
    counted = program(*loop("compare(%g, %limit), direction=LT"))
    assert counted.traffic().hbm == 6 * 60
    assert counted.traffic().collectives == [Collective("all-reduce", 60, 2, 6)]
    assert (counted.open_loops, counted.iteration_traffic().hbm) == (0, 0)


def test_a_loop_of_unknown_trip_count_uses_the_assumed_iterations() -> None:
    open_ended = program(*loop("not(%g)"), iterations=11)
    assert open_ended.traffic().hbm == 11 * 60
    assert (open_ended.open_loops, open_ended.iteration_traffic().hbm) == (1, 60)
    assert open_ended.iteration_traffic().collectives == [Collective("all-reduce", 60, 2, 1)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("all-gather(%p.0), replica_groups=[2,2]<=[4], dimensions={0}", Collective("all-gather", 120, 2, 1)),
        ("reduce-scatter(%p.0), replica_groups={}, dimensions={0}", Collective("reduce-scatter", 60, 4, 1)),
        ("all-to-all(%p.0), replica_groups={{0,1,2,3}}", Collective("all-to-all", 60, 4, 1)),
        ("collective-permute(%p.0), source_target_pairs={{0,1}}", Collective("collective-permute", 60, 4, 1)),
    ],
)
def test_collectives(line: str, expected: Collective) -> None:
    collectives = program(*entry(P, f"ROOT %out = f32[6,5]{{1,0}} {line}")).traffic().collectives
    assert collectives == [expected]


def test_an_asynchronous_collective_counts_once() -> None:
    start = "%s = (f32[3,5]{1,0}, f32[6,5]{1,0}) all-gather-start(%p.0), replica_groups={{0,1},{2,3}}"
    done = "ROOT %out = f32[6,5]{1,0} all-gather-done(%s)"
    assert program(*entry(P, start, done)).traffic().collectives == [Collective("all-gather", 120, 2, 1)]


def test_a_collective_of_a_sparse_core_counts_once() -> None:
    inner = (
        "%called (a: f32[3,5]) -> f32[3,5] {",
        "  %a = f32[3,5]{1,0} parameter(0)",
        "  ROOT %r = f32[3,5]{1,0} all-reduce(%a), replica_groups={{0,1,2,3}}, to_apply=%add",
        "}",
    )
    start = (
        '%s = ((f32[3,5]{1,0}), f32[3,5]{1,0}) call-start(%p.0), async_execution_thread="sparsecore", to_apply=%called'
    )
    end = "ROOT %out = f32[3,5]{1,0} call-done(%s)"
    assert program(*inner, *entry(P, start, end)).traffic().collectives == [Collective("all-reduce", 60, 4, 1)]


def test_a_fused_all_reduce_may_be_a_reduce_scatter() -> None:
    inner = (
        "%all-reduce-scatter.3 (a: f32[3,5]) -> f32[3,5] {",
        "  %a = f32[3,5]{1,0} parameter(0)",
        "  ROOT %r = f32[3,5]{1,0} all-reduce(%a), replica_groups={{0,1,2,3}}, to_apply=%sum",
        "}",
    )
    line = "ROOT %out = f32[3,5]{1,0} fusion(%p.0), kind=kCustom, calls=%all-reduce-scatter.3"
    assert program(*inner, *entry(P, line)).traffic().collectives == [Collective("reduce-scatter", 60, 4, 1)]


def test_the_branch_with_the_most_traffic_counts() -> None:
    def branch(name: str, kind: str) -> tuple[str, ...]:
        lines = (f"  %a = {kind} parameter(0)", f"  ROOT %n = {kind} negate(%a)")
        return (f"%{name} (a: f32[3,5]) -> f32[3,5] {{", *lines, "}")

    branches = (*branch("few", "f32[3,5]{1,0:S(1)}"), *branch("many", "f32[3,5]{1,0}"))
    line = "ROOT %out = f32[3,5] conditional(%p.0, %p.0, %p.0), branch_computations={%few, %many}"
    assert program(*branches, *entry(P, line)).traffic().hbm == 120
